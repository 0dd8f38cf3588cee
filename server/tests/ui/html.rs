//! A small strict reader of the HTML that our templates write: elements, attributes, text, and nothing forgiving.
//!
//! It knows no error recovery: what a browser would have to guess is a fault here. Only for tests.

use std::collections::BTreeMap;

/// Elements that have no end.
const VOID: [&str; 6] = ["meta", "link", "input", "br", "hr", "img"];

/// One element in the order of the document.
#[derive(Debug)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) attributes: BTreeMap<String, String>,
    /// All text inside, entities decoded.
    pub(crate) text: String,
    /// The names of the elements around it, outermost first.
    pub(crate) within: Vec<String>,
}

impl Element {
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }
}

/// All elements of a page; a fault is a panic that shows its place.
pub(crate) fn read(page: &str) -> Vec<Element> {
    let mut rest = page.strip_prefix("<!doctype html>").expect("a page begins with its doctype");
    let mut elements: Vec<Element> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    while let Some(at) = rest.find('<') {
        let (text, tag) = rest.split_at(at);
        add_text(&mut elements, &open, text);
        let end = tag_end(tag);
        let inside = &tag[1..end];
        rest = &tag[end + 1..];
        if let Some(name) = inside.strip_prefix('/') {
            let last = open.pop().unwrap_or_else(|| panic!("</{name}> closes nothing"));
            assert_eq!(
                elements[last].name, name,
                "</{name}> closes <{}>, before {:.80}",
                elements[last].name, rest
            );
            continue;
        }
        let closed = inside.ends_with('/');
        let (name, attributes) = attributes(inside.trim_end_matches('/'));
        let within = open.iter().map(|place| elements[*place].name.clone()).collect();
        let void = closed || VOID.contains(&name.as_str());
        elements.push(Element { name, attributes, text: String::new(), within });
        if !void {
            open.push(elements.len() - 1);
        }
    }
    assert!(
        open.is_empty(),
        "never closed: {:?}",
        open.iter().map(|n| &elements[*n].name).collect::<Vec<_>>()
    );
    elements
}

/// Place of the `>` that ends a tag, outside of quotes.
fn tag_end(tag: &str) -> usize {
    let mut quoted = false;
    for (place, c) in tag.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '>' if !quoted => return place,
            _ => {}
        }
    }
    panic!("a tag never ends: {tag:.80}");
}

fn add_text(elements: &mut [Element], open: &[usize], text: &str) {
    assert!(!text.contains('>') || open.is_empty(), "a bare > in text: {text:.80}");
    let text = decode(text);
    for place in open {
        elements[*place].text.push_str(&text);
    }
}

fn attributes(inside: &str) -> (String, BTreeMap<String, String>) {
    let (name, mut rest) = inside.split_once([' ', '\n']).unwrap_or((inside, ""));
    assert!(!name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric()), "no element: <{inside:.80}");
    let mut found = BTreeMap::new();
    while !rest.trim_start().is_empty() {
        rest = rest.trim_start();
        let end = rest.find(['=', ' ', '\n']).unwrap_or(rest.len());
        let key = &rest[..end];
        assert!(
            key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == ':'),
            "no attribute: {rest:.80}"
        );
        rest = &rest[end..];
        let mut value = String::new();
        if let Some(quoted) = rest.strip_prefix("=\"") {
            let close = quoted.find('"').expect("an attribute's value ends");
            value = decode(&quoted[..close]);
            rest = &quoted[close + 1..];
        } else {
            assert!(!rest.starts_with('='), "an unquoted value: {rest:.80}");
        }
        assert!(found.insert(key.to_owned(), value).is_none(), "{key} stands twice in <{inside:.80}>");
    }
    (name.to_owned(), found)
}

/// Decodes the character references that our escaping writes; an `&` of any other kind is a fault.
fn decode(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        plain.push_str(&rest[..at]);
        let end = rest[at..].find(';').unwrap_or_else(|| panic!("a bare & in {text:.80}"));
        let code =
            rest[at + 2..at + end].parse::<u32>().unwrap_or_else(|_| panic!("not our escape in {text:.80}"));
        plain.push(char::from_u32(code).expect("a character"));
        rest = &rest[at + end + 1..];
    }
    plain + rest
}

#[test]
fn the_reader_sees_elements_attributes_and_text() {
    // Goal: the other tests can trust it. Method: a small page, read whole.
    let page = read("<!doctype html><p class=\"a b\" hidden>x &#60;<b>y</b></p><input name=\"q\">");
    assert_eq!(page.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(), ["p", "b", "input"]);
    assert_eq!((page[0].text.as_str(), page[0].attribute("hidden")), ("x <y", Some("")));
    assert_eq!(page[1].within, ["p"]);
}

#[test]
#[should_panic(expected = "closes")]
fn the_reader_forgives_no_unclosed_element() {
    // Goal: a template that forgets an end fails. Method: one.
    read("<!doctype html><p><b>x</p>");
}
