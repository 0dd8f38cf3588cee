//! What the rules need to know of a Rust file: its functions, names, panics and test parts, read as syntax.
//!
//! It reports, it does not judge. Closures count with their function; inside macros only the functions of
//! `proptest!` are seen, because nobody else writes functions there. Read next: `code.rs`, which judges.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item};

/// What was seen in one file.
#[derive(Debug, Default)]
pub struct Seen {
    /// Every function with a body.
    pub functions: Vec<Function>,
    /// Every type, trait and module that is named here.
    pub names: Vec<Name>,
    /// Every place that may panic without saying why.
    pub panics: Vec<Panic>,
    /// Lines of `extern crate std` outside tests.
    pub std_lines: Vec<usize>,
    /// Modules declared as `#[cfg(test)] mod name;`.
    pub test_modules: Vec<String>,
    /// Whether the file says `#![no_std]`.
    pub no_std: bool,
}

/// One function.
#[derive(Debug)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The line of its `fn`.
    pub line: usize,
    /// Its lines, from the signature to the closing brace.
    pub lines: usize,
    /// Its arguments, the receiver included.
    pub arguments: usize,
    /// Whether its signature was decided elsewhere: a method of a trait's implementation.
    pub given: bool,
}

/// One name.
#[derive(Debug)]
pub struct Name {
    /// As written.
    pub text: String,
    /// Where.
    pub line: usize,
    /// Whether it is a module's.
    pub module: bool,
}

/// One call that may panic without a reason.
#[derive(Debug)]
pub struct Panic {
    /// What is called.
    pub call: String,
    /// Where.
    pub line: usize,
    /// Whether it stands in a test.
    pub test: bool,
}

/// Reads one file.
///
/// # Errors
/// If it is not Rust.
pub fn see(text: &str) -> Result<Seen, syn::Error> {
    let file = syn::parse_file(text)?;
    let mut eye = Eye::default();
    eye.seen.no_std = file.attrs.iter().any(|attribute| attribute.path().is_ident("no_std"));
    eye.visit_file(&file);
    Ok(eye.seen)
}

/// The walk over one file: what was seen, and where it stands.
#[derive(Default)]
struct Eye {
    seen: Seen,
    in_test: bool,
    given: bool,
}

impl Eye {
    /// Visits a part with `in_test` set if its attributes say so.
    fn enter(&mut self, attributes: &[Attribute], visit: impl FnOnce(&mut Self)) {
        let before = self.in_test;
        self.in_test |= attributes.iter().any(is_test);
        visit(self);
        self.in_test = before;
    }

    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let line = signature.fn_token.span.start().line;
        let end = block.brace_token.span.close().end().line;
        self.seen.functions.push(Function {
            name: signature.ident.to_string(),
            line,
            lines: end - line + 1,
            arguments: signature.inputs.len(),
            given: self.given,
        });
    }

    fn name(&mut self, ident: &syn::Ident, module: bool) {
        let line = ident.span().start().line;
        self.seen.names.push(Name { text: ident.to_string(), line, module });
    }

    fn panic(&mut self, call: &syn::Ident) {
        let line = call.span().start().line;
        self.seen.panics.push(Panic { call: call.to_string(), line, test: self.in_test });
    }

    /// The functions written inside a `proptest!` block.
    fn macro_functions(&mut self, tokens: &TokenStream) {
        let mut open: Option<(String, usize)> = None;
        let mut after_fn = false;
        for token in tokens.clone() {
            match token {
                TokenTree::Ident(ident) if ident == "fn" => after_fn = true,
                TokenTree::Ident(ident) if after_fn => {
                    open = Some((ident.to_string(), ident.span().start().line));
                    after_fn = false;
                }
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                    if let Some((name, line)) = open.take() {
                        let lines = group.span_close().end().line - line + 1;
                        self.seen.functions.push(Function { name, line, lines, arguments: 0, given: true });
                    }
                }
                TokenTree::Group(_) | TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Eye {
    fn visit_item(&mut self, item: &'ast Item) {
        self.enter(attributes(item), |eye| visit::visit_item(eye, item));
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let before = self.given;
        self.given = item.trait_.is_some();
        visit::visit_item_impl(self, item);
        self.given = before;
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block);
        self.enter(&item.attrs, |eye| visit::visit_impl_item_fn(eye, item));
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.name(&item.ident, true);
        if item.content.is_none() && self.in_test {
            self.seen.test_modules.push(item.ident.to_string());
        }
        visit::visit_item_mod(self, item);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.name(&item.ident, false);
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.name(&item.ident, false);
        visit::visit_item_enum(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.name(&item.ident, false);
        visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.name(&item.ident, false);
        visit::visit_item_type(self, item);
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        if item.ident == "std" && !self.in_test {
            self.seen.std_lines.push(item.ident.span().start().line);
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if call.method == "unwrap" || call.method == "unwrap_err" {
            self.panic(&call.method);
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, found: &'ast syn::Macro) {
        let Some(last) = found.path.segments.last() else { return };
        if ["todo", "unimplemented", "dbg"].iter().any(|name| last.ident == name) {
            self.panic(&last.ident);
        }
        if last.ident == "proptest" {
            self.macro_functions(&found.tokens);
        }
    }
}

/// `#[test]`, `#[tokio::test]`, `#[cfg(test)]`, `#[cfg(any(test, …))]`; never a condition with `not`.
fn is_test(attribute: &Attribute) -> bool {
    let path = attribute.path();
    if path.segments.last().is_some_and(|segment| segment.ident == "test") {
        return true;
    }
    let syn::Meta::List(list) = &attribute.meta else { return false };
    path.is_ident("cfg") && mentions(&list.tokens, "test") && !mentions(&list.tokens, "not")
}

/// Whether `word` stands anywhere in `tokens`.
fn mentions(tokens: &TokenStream, word: &str) -> bool {
    tokens.clone().into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == word,
        TokenTree::Group(group) => mentions(&group.stream(), word),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

/// The attributes of an item that may carry `cfg(test)`.
fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
