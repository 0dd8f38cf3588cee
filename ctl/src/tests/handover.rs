//! `owner hand-over` and `owner verify`: two signers, a third who was given other papers, the maker's word, and files
//! that devices judge.

use cordon_proto::update::decide::Device;
use cordon_proto::update::handover::{By, Case, Refused, judge};

use super::{Desk, Outcome, cordonctl, done, hardware, misused, refused, rules};
use cordon_proto::ids::Sha256;
use cordon_proto::time::Timestamp;
use cordon_proto::update::Trusted;

/// Hospital A with its desk, and clinic B with its own.
struct Loan {
    a: Desk,
    b: Desk,
}

impl Loan {
    fn new() -> Self {
        let loan = Self { a: Desk::new(), b: Desk::new() };
        done(loan.a.init_director(&[]));
        done(loan.a.init_image());
        done(loan.b.init_director(&[]));
        let lines: String = (1..=40).map(|serial| format!("Halden\tVP-3\t{serial}\n")).collect();
        loan.a.file("pumps.tsv", lines.as_bytes());
        loan
    }

    fn root(desk: &Desk) -> String {
        desk.path("director/1.root.json")
    }

    /// A's people sign with one key; `more` says what is different.
    fn sign(&self, key: &str, more: &[&str]) -> Outcome {
        let [director, list, out, key] =
            ["director", "pumps.tsv", "loan.json", key].map(|name| self.a.path(name));
        let to = Self::root(&self.b);
        let mut arguments = vec!["owner", "hand-over", "--key", &key];
        for (flag, value) in
            [("--director", &director), ("--to", &to), ("--scope-list", &list), ("--out", &out)]
        {
            let replaced = flag == "--director" && more.contains(&"--image");
            if !replaced && !more.contains(&flag) {
                arguments.extend([flag, value]);
            }
        }
        arguments.extend(more);
        cordonctl(&arguments)
    }

    fn verify(&self, more: &[&str]) -> Outcome {
        let [file, director] = ["loan.json", "director"].map(|name| self.a.path(name));
        cordonctl(&[&["owner", "verify", &file, "--repository", &director], more].concat())
    }

    /// What a device of this serial that obeys A makes of the file.
    fn judged(&self, serial: &str) -> Result<By, Refused> {
        let bytes = |path: String| std::fs::read(path).unwrap();
        let maker = bytes(self.a.path("image/1.root.json"));
        let now = Timestamp(crate::clock::now().0 + 1);
        let makers = [Trusted::start(&maker, &rules(now)).unwrap()];
        let (model, revision) = ("VP-3".parse().unwrap(), "C".parse().unwrap());
        let device = Device {
            identity: hardware(serial),
            model: &model,
            revision: &revision,
            counter: 41,
            sha256: Sha256([0; 32]),
            floor: 0,
            confirmed: None,
            given_up: &[],
        };
        let (present, brought) = (bytes(Self::root(&self.a)), bytes(Self::root(&self.b)));
        let case = Case {
            device: &device,
            present: &present,
            makers: &makers,
            brought: &brought,
            last: None,
            loopback: false,
        };
        judge(&bytes(self.a.path("loan.json")), &case, &rules(now)).map(|judged| judged.by())
    }
}

#[test]
fn two_people_hand_forty_pumps_over_and_every_pump_can_tell() {
    // Goal: the whole paper. Method: first signer, second signer; what was shown; devices judge before and after.
    let loan = Loan::new();
    let (status, out, shown) = loan.sign("root1", &["--expires", "14d"]);
    assert_eq!(status, 0, "{shown}");
    assert!(out.contains("1 of 2 signatures, 1 more needed"), "{out}");
    let to = Sha256::of(&std::fs::read(Loan::root(&loan.b)).unwrap()).to_string();
    assert!(
        shown.contains("40 devices") && shown.contains("Halden VP-3 17") && shown.contains(&to),
        "{shown}"
    );
    assert!(shown.contains("by the present owner"), "{shown}");
    assert_eq!(loan.judged("1"), Err(Refused::NotSigned { valid: 1, needed: 2 }));
    assert!(refused(loan.verify(&[])).contains("only 1 of the 2 signatures"));
    assert!(done(loan.sign("root2", &["--add"])).contains("2 of 2 signatures, complete"));
    assert_eq!([1, 40].map(|serial: u32| loan.judged(&serial.to_string())), [Ok(By::Owner), Ok(By::Owner)]);
    assert_eq!(loan.judged("41"), Err(Refused::NotListed));
    let said = done(loan.verify(&["--to", &Loan::root(&loan.b)]));
    assert!(said.contains("signed by 2 keys of root 1, 2 needed") && said.contains("40 devices"), "{said}");
    assert!(refused(loan.verify(&["--to", &Loan::root(&loan.a)])).contains("another root than"));
    let root = Loan::root(&loan.a);
    let file = loan.a.path("loan.json");
    done(cordonctl(&["owner", "verify", &file, "--root", &root]));
    assert!(
        refused(cordonctl(&["owner", "verify", &file, "--root", &Loan::root(&loan.b)]))
            .contains("root: only 0")
    );
}

#[test]
fn a_second_signer_with_other_papers_signs_nothing() {
    // Goal: each signer brings the own copies. Method: another list, another new owner, another folder, the same key,
    // a key of a sub-role, a file that exists, a list that was changed in the file.
    let loan = Loan::new();
    done(loan.sign("root1", &[]));
    let before = std::fs::read(loan.a.path("loan.json")).unwrap();
    let fewer = loan.a.file("fewer.tsv", b"Halden\tVP-3\t1\n").to_str().unwrap().to_owned();
    assert!(refused(loan.sign("root2", &["--add", "--scope-list", &fewer])).contains("other devices"));
    let own = Loan::root(&loan.a);
    assert!(refused(loan.sign("root2", &["--add", "--to", &own])).contains("another director root"));
    assert!(refused(loan.sign("root1", &["--add"])).contains("already signed"));
    assert!(refused(loan.sign("orders1", &["--add"])).contains("none of the role root"));
    assert!(refused(loan.sign("root2", &[])).contains("there already"));
    assert_eq!(std::fs::read(loan.a.path("loan.json")).unwrap(), before);
    let text = String::from_utf8(before).unwrap();
    let shorter = text.replacen("\"devices\":[\"", "\"devices\":[],\"list\":[\"", 1);
    assert_ne!(text, shorter);
    loan.a.file("loan.json", shorter.as_bytes());
    assert!(refused(loan.sign("root2", &["--add"])).contains("does not make its root"));
}

#[test]
fn the_maker_signs_for_an_owner_who_is_gone_and_it_says_what_that_needs() {
    // Goal: --image. Method: by the root file and by its hash; two maker keys; the words; no root, no signature.
    let loan = Loan::new();
    let image = loan.a.path("image");
    let own = Loan::root(&loan.a);
    let hash = Sha256::of(&std::fs::read(&own).unwrap()).to_string();
    let (status, _, shown) = loan.sign("iroot1", &["--image", &image, "--from-root", &own]);
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("SITE MUST BE FORGOTTEN"), "{shown}");
    done(loan.sign("iroot2", &["--image", &image, "--from-root", &hash, "--add"]));
    assert_eq!(loan.judged("7"), Ok(By::Maker));
    assert!(misused(loan.sign("iroot1", &["--image", &image])).contains("--from-root"));
}

#[test]
fn what_no_device_would_take_is_not_signed() {
    // Goal: refused at the desk, not at forty bedsides. Method: too long a life, to itself, example keys, no list, many.
    let loan = Loan::new();
    assert!(refused(loan.sign("root1", &["--expires", "91d"])).contains("90 days"));
    let own = Loan::root(&loan.a);
    assert!(refused(loan.sign("root1", &["--to", &own])).contains("another root than from"));
    let lines: String = (0..=1024).map(|serial| format!("Halden\tVP-3\t{serial}\n")).collect();
    let many = loan.a.file("many.tsv", lines.as_bytes()).to_str().unwrap().to_owned();
    assert!(refused(loan.sign("root1", &["--scope-list", &many])).contains("part it"));
    let facts = ["--match-model", "VP-3", "--match-hardware", "C", "--counters", "0:99", "--scope-list"];
    misused(loan.sign("root1", &[&facts[..], &[many.as_str()]].concat()));
}
