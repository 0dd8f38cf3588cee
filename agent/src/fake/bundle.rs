//! Bundles for tests: a folder of both fake repositories, an image and a signed index. Tests only.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use cordon_proto::ids::Sha256;
use cordon_proto::time::Timestamp;
use cordon_proto::update::bundle::{Bundle, INDEX, Listed};

use super::repository::{DIRECTOR, Repository, signed};

/// A bundle before it is written.
#[derive(Clone)]
pub(crate) struct Made {
    pub(crate) counter: u64,
    pub(crate) issued: Timestamp,
    pub(crate) expires: Timestamp,
    pub(crate) director: Sha256,
    /// The seed of the key that signs.
    pub(crate) seed: u8,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

impl Made {
    /// Out of both repositories, with an image, for the installation of one order.
    pub(crate) fn new(
        (director, maker): (&Repository, &Repository),
        image: &[u8],
        order: &str,
        now: Timestamp,
    ) -> Self {
        let of = |folder: &str, repository: &Repository| {
            let files = repository.files.iter();
            files.map(|(name, bytes)| (format!("{folder}/{name}"), bytes.clone())).collect::<Vec<_>>()
        };
        let mut files: BTreeMap<_, _> = of("director", director).into_iter().collect();
        files.extend(of("image/halden", maker));
        files.insert(format!("targets/{}", Sha256::of(image)), image.to_vec());
        files.insert(format!("install/{order}"), Vec::new());
        let (issued, expires) = (now.plus_seconds(-3600), now.plus_seconds(3600));
        Self { counter: 1, issued, expires, director: director.pin(), seed: DIRECTOR + 4, files }
    }

    pub(crate) fn index(&self) -> Vec<u8> {
        let listed = |bytes: &Vec<u8>| Listed {
            length: u64::try_from(bytes.len()).expect("small"),
            sha256: Sha256::of(bytes),
        };
        let files = self.files.iter().map(|(path, bytes)| (path.parse().expect("a path"), listed(bytes)));
        let Self { counter, issued, expires, director, .. } = *self;
        let bundle = Bundle { director, counter, issued, expires, files: files.collect() };
        signed(&bundle.value(), self.seed)
    }

    /// Writes the folder anew.
    pub(crate) fn write(&self, folder: &Path) {
        let _ = fs::remove_dir_all(folder);
        for (path, bytes) in &self.files {
            let place = folder.join(path);
            fs::create_dir_all(place.parent().expect("is inside")).expect("makes the folder");
            fs::write(place, bytes).expect("writes");
        }
        fs::write(folder.join(INDEX), self.index()).expect("writes");
    }
}
