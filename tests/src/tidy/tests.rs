//! Shows every rule of tidy failing on the smallest source that breaches it, and passing on its neighbour.
//!
//! A rule that cannot be seen to fail here does not belong into tidy. Read next: `tidy.rs`.

use super::{Fault, Source, code, each, manifest, map, promises, served, text};

mod map_tests;

fn rust(body: &str) -> Source {
    Source::new("agent/src/a.rs", body)
}

fn messages(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The rule passes on `good` and says `expected` of `bad`.
fn shows(rule: impl Fn(&Source) -> Vec<Fault>, good: &str, bad: (&str, &str)) {
    assert_eq!(messages(&rule(&rust(good))), "");
    let said = messages(&rule(&rust(bad.0)));
    assert!(said.contains(bad.1), "said: {said}");
}

#[test]
fn a_file_without_a_head_is_refused() {
    // Goal: a newcomer who reads only heads knows the house. Method: no head, and a head of one word.
    shows(text::head, "//! Writes the two slots.\n", ("fn main() {}\n", "a.rs:1: no head"));
    shows(text::head, "//! Writes the two slots.\n", ("//! placeholder\n", "a.rs:1: no head"));
    assert_eq!(text::head(&Source::new("a.md", "")), []);
}

#[test]
fn a_file_of_601_lines_is_refused() {
    // Goal: files stay readable in one sitting. Method: exactly the end, and one line more.
    shows(text::length, &"\n".repeat(600), (&"\n".repeat(601), "601 lines"));
}

#[test]
fn a_function_of_71_lines_is_refused_wherever_it_stands() {
    // Goal: no long function, methods, tests and property tests included. Method: 70 and 71 lines of each kind.
    let function = |lines: usize| format!("fn f() {{\n{}}}\n", "g();\n".repeat(lines - 2));
    shows(code::function_length, &function(70), (&function(71), "a.rs:1: fn f has 71 lines"));
    for (before, after) in [
        ("impl A {\n", "}\n"),
        ("trait A {\n", "}\n"),
        ("mod a {\n", "}\n"),
        ("proptest! {\n#[test]\n", "}\n"),
    ] {
        let wrapped = |lines| format!("{before}{}{after}", function(lines));
        shows(code::function_length, &wrapped(70), (&wrapped(71), "fn f has 71 lines"));
    }
}

#[test]
fn a_function_of_six_arguments_is_refused_but_not_a_given_signature() {
    // Goal: values with names instead of long lists. Method: five, six, and six that a trait demands.
    let six = "fn f(a: u8, b: u8, c: u8, d: u8, e: u8, g: u8) {}";
    shows(code::arguments, "fn f(a: u8, b: u8, c: u8, d: u8, e: u8) {}", (six, "takes 6 arguments"));
    shows(
        code::arguments,
        &format!("impl T for A {{ {six} }}"),
        (&format!("impl A {{ {six} }}"), "fn f takes 6"),
    );
}

#[test]
fn empty_words_are_refused() {
    // Goal: a name says what the thing is. Method: each kind of empty name beside a full one.
    shows(code::names, "struct Slot;", ("struct SlotManager;", "SlotManager says nothing"));
    shows(code::names, "struct DataLink;", ("enum TlsData {}", "TlsData says nothing"));
    shows(code::names, "enum PatientData {}", ("struct DeviceData;", "DeviceData says nothing"));
    shows(code::names, "type Informed = u8;", ("trait PeerInfo {}", "PeerInfo says nothing"));
    shows(code::names, "mod slot;", ("mod utils;", "utils says nothing"));
    shows(code::names, "fn slot() {}", ("impl A { fn get_slot(&self) {} }", "drop the get_"));
    shows(code::names, "impl Cell for A { fn get_slot(&self) {} }", ("fn get_slot() {}", "drop the get_"));
}

#[test]
fn a_note_without_its_issue_is_refused() {
    // Goal: nothing is left undone in silence. Method: notes with and without a number, inside words and beside.
    let (todo, fixme) = (concat!("TO", "DO"), concat!("FIX", "ME"));
    shows(
        text::left_over,
        &format!("// {todo}(#7): a\n// {todo}S are listed\n"),
        (&format!("\n// {todo}: a\n"), "a.rs:2:"),
    );
    shows(text::left_over, &format!("// {fixme}(0007)\n"), (&format!("// {fixme}(soon)\n"), "without"));
}

#[test]
fn unwrap_and_todo_are_refused_outside_tests_only() {
    // Goal: a panic needs a written reason. Method: the same call outside, in a test, and in a file of tests.
    let rule = |source: &Source| code::panics(std::slice::from_ref(source));
    shows(rule, "fn f() { a().expect(\"b\"); }", ("fn f() {\n a().unwrap(); }", "a.rs:2: unwrap"));
    shows(rule, "#[cfg(test)] mod tests { fn f() { a().unwrap(); } }", ("fn f() { todo!() }", "todo"));
    shows(
        rule,
        "#[tokio::test] async fn f() { a().unwrap(); }",
        ("#[cfg(not(test))] fn f() { a().unwrap(); }", "unwrap"),
    );
    let parent = Source::new("agent/src/a.rs", "#[cfg(test)]\nmod tests;");
    let tests = Source::new("agent/src/a/tests.rs", "fn f() { a().unwrap(); }");
    assert_eq!(code::panics(&[parent, tests.clone()]), []);
    assert_eq!(code::panics(&[tests]).len(), 1);
}

#[test]
fn a_ground_crate_that_brings_std_back_is_refused() {
    // Goal: the ground stays bare. Method: extern crate std in and outside tests, and a root without no_std.
    let ground = |path: &str, body: &str| code::ground(&[Source::new(path, body)]).len();
    assert_eq!(ground("proto/src/a.rs", "extern crate std;"), 1);
    assert_eq!(ground("proto/src/a.rs", "#[cfg(test)] extern crate std;"), 0);
    assert_eq!(ground("proto/src/a.rs", "#[cfg(test)] mod tests { extern crate std; }"), 0);
    assert_eq!(ground("agent/core/src/lib.rs", "//! The ground.\nextern crate alloc;"), 1);
    assert_eq!(ground("agent/core/src/lib.rs", "//! The ground.\n#![no_std]\nextern crate alloc;"), 0);
    assert_eq!(ground("agent/src/a.rs", "extern crate std;"), 0);
}

#[test]
fn what_is_not_rust_is_refused() {
    // Goal: a rule never passes because it could not read the file. Method: a broken file.
    shows(code::parses, "fn f() {}", ("fn f( {}", "a.rs:1:"));
}

#[test]
fn a_path_of_one_machine_is_refused() {
    // Goal: the tree works wherever it lies. Method: home folders, the folder of the tree, and look-alikes.
    let foreign = text::folders_of_this_machine("/build/cordon");
    assert_eq!(foreign, ["/build/cordon/", "/build/"]);
    assert_eq!(text::folders_of_this_machine("/tmp/cordon"), ["/tmp/cordon/"]);
    let rule = |source: &Source| text::machine_paths(source, &foreign);
    let home = concat!("/ho", "me/ann/key");
    shows(
        rule,
        "let a = \"target/build/x\"; // ~/build/x",
        ("\nlet a = \"/build/x\";", "a.rs:2: names /build/"),
    );
    shows(rule, "see docs/home/x", (home, "a folder of one machine"));
}

#[test]
fn a_blob_above_100_kilobytes_is_refused() {
    // Goal: a clone stays small. Method: the last size that passes, one byte more, and the one exception.
    let blob = |path: &str, size: usize| {
        text::blob(&Source { path: path.to_owned(), content: vec![0xff; size] }).len()
    };
    assert_eq!((blob("docs/console.png", 100_000), blob("docs/console.png", 100_001)), (0, 1));
    assert_eq!(blob("Cargo.lock", 200_000), 0);
}

const ROOT: &str = "[workspace.dependencies]\n# The house.\ncordon-proto = { path = \"proto\" }\n\n\
    # Ground: no_std.\nsha2 = { version = \"1\", default-features = false } # one hash for all\n\n\
    # Adapters.\nrustls = \"1\" # the only TLS\n";

#[test]
fn a_crate_without_its_reason_is_refused() {
    // Goal: nobody adds a crate in passing. Method: reason cut off, default features left on for the ground.
    let said = |text: &str| messages(&manifest::reasons(&Source::new("Cargo.toml", text)));
    assert_eq!(said(ROOT), "");
    assert!(said(&ROOT.replace(" # the only TLS", "")).contains("Cargo.toml:9: rustls"));
    assert!(said(&ROOT.replace(", default-features = false", "")).contains("sha2: a ground crate has"));
}

#[test]
fn a_ground_crate_that_leans_on_an_adapter_is_refused() {
    // Goal: the ground block is all the ground may use. Method: an adapter's crate, a std feature, a dev crate.
    let root = Source::new("Cargo.toml", ROOT);
    let said = |body: &str| messages(&manifest::ground_uses(&root, &Source::new("proto/Cargo.toml", body)));
    assert_eq!(
        said("[dependencies]\nsha2.workspace = true\n[dev-dependencies]\nrustls.workspace = true\n"),
        ""
    );
    assert!(
        said("[dependencies]\nrustls.workspace = true\n").contains("proto/Cargo.toml:2: rustls is not in")
    );
    assert!(said("[dependencies]\nsha2 = { workspace = true, features = [\"std\"] }\n").contains("no std"));
    assert!(
        said("[target.'cfg(unix)'.dependencies]\nrustls.workspace = true\n").contains("rustls is not in")
    );
}

#[test]
fn an_import_against_the_direction_is_refused() {
    // Goal: agent and server meet only in tests. Method: every forbidden pair, for tests of a package too.
    let rule = |room: &str, name: &str, table: &str| {
        manifest::direction(&Source::new(
            &format!("{room}/Cargo.toml"),
            &format!("[{table}]\n{name}.workspace = true\n"),
        ))
        .len()
    };
    let forbidden = [
        ("agent", "cordon-server"),
        ("agent", "cordon-server-core"),
        ("server", "cordon-agent"),
        ("ctl", "cordon-server"),
    ];
    for (room, name) in forbidden.into_iter().chain([
        ("ctl", "cordon-agent"),
        ("proto", "cordon-agent-core"),
        ("agent/core", "cordon-server-core"),
    ]) {
        assert_eq!(rule(room, name, "dependencies"), 1, "{room} {name}");
        assert_eq!(rule(room, name, "dev-dependencies"), 1, "{room} {name}");
    }
    assert_eq!(rule("server", "cordon-agent-core", "dependencies"), 0);
    assert_eq!(rule("tests", "cordon-server", "dependencies"), 0);
    let itself = |table: &str| {
        let text = format!("[{table}]\ncordon-server = {{ path = \".\", features = [\"sled\"] }}\n");
        manifest::direction(&Source::new("server/Cargo.toml", &text)).len()
    };
    assert_eq!(
        (itself("dev-dependencies"), itself("dependencies")),
        (0, 1),
        "its own features, for tests alone"
    );
}

#[test]
fn a_member_with_versions_or_lints_of_its_own_is_refused() {
    // Goal: one dependency table, one lint table. Method: a version in a member, and no lints.
    let said = |body: &str| messages(&each(&[Source::new("ctl/Cargo.toml", body)], manifest::one_table));
    assert_eq!(said("[lints]\nworkspace = true\n[dependencies]\nsha2.workspace = true\n"), "");
    assert!(
        said("[lints]\nworkspace = true\n[dependencies]\nsha2 = \"1\"\n").contains("ctl/Cargo.toml:4: sha2")
    );
    assert!(said("[dependencies]\n").contains("lints"));
}

#[test]
fn a_document_that_names_a_test_or_a_file_that_is_not_there_is_refused() {
    // Goal: no promise without its test. Method: one name that exists, one that does not; the same with links.
    let code = Source::new("agent/src/a.rs", "#[test]\nfn an_old_release_is_refused() {}");
    let said = |body: &str| {
        let tree =
            [code.clone(), Source::new("README.md", body), Source::new("docs/b.md", "[up](../README.md#a)")];
        messages(&[promises::named_tests(&tree), promises::links(&tree)].concat())
    };
    assert_eq!(
        said(
            "`an_old_release_is_refused` and `image_root` [b](docs/b.md) [c](docs) [d](https://a.example/x)"
        ),
        ""
    );
    assert!(
        said("\n`a_new_release_is_refused`")
            .contains("README.md:2: there is no test a_new_release_is_refused")
    );
    assert!(said("[b](docs/c.md)").contains("the link to docs/c.md leads nowhere"));
}

#[test]
fn code_in_an_asset_folder_is_refused() {
    // Goal: the tree hides no code. Method: a source below a folder that is one line.
    assert_eq!(map::hidden_code(&[Source::new("server/ui/a.html", ""), rust("")]), []);
    assert_eq!(map::hidden_code(&[Source::new("server/src/ui/a.rs", "")]), []);
    assert_eq!(map::hidden_code(&[Source::new("server/ui/b/a.rs", "")]).len(), 1);
}

#[test]
fn a_committed_api_that_differs_from_the_served_one_is_refused() {
    // Goal: no change of the API goes unseen in review. Method: the same text, another line, no document.
    let said = |committed: &str| {
        messages(&served::differs(&[Source::new(served::DOCUMENT, committed)], "{\n  1\n}\n"))
    };
    assert_eq!(said("{\n  1\n}\n"), "");
    assert!(said("{\n  2\n}\n").starts_with("docs/openapi.json:2: differs"));
    assert_eq!(served::differs(&[], "{}\n").len(), 1);
}
