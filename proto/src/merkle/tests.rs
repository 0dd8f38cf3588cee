//! Tests of the tree against the recursive definition, published vectors and forged proofs.

use super::*;
use crate::canonical::fields::{decode_hex, encode_hex};
use alloc::vec;
use proptest::prelude::*;

/// The definition of RFC 9162 section 2.1.1, written as it stands there.
fn definition(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => *leaf,
        more => {
            let (left, right) = more.split_at(usize::try_from(split(count(more.len()))).unwrap());
            node_hash(&definition(left), &definition(right))
        }
    }
}

fn leaves(number: u64) -> Vec<Hash> {
    (0..number).map(|leaf| leaf_hash(&leaf.to_be_bytes())).collect()
}

#[test]
fn a_list_has_the_root_of_its_tree() {
    // Goal: one rule, two ways. Method: lists of every length up to 130 beside the tree.
    for length in 0..130_u8 {
        let leaves: Vec<Hash> = (0..length).map(|leaf| leaf_hash(&[leaf])).collect();
        assert_eq!(root_of(&leaves, |leaf| *leaf), root(leaves.iter().copied()), "{length}");
    }
}

#[test]
fn roots_of_the_published_vectors() {
    // Goal: interoperate with other RFC 9162 trees. Method: the eight leaves of certificate-transparency's test vectors.
    let inputs =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let mut tree = Tree::new();
    assert_eq!(encode_hex(&tree.root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    for (input, root) in inputs.iter().zip(roots) {
        tree.push_data(&decode_hex(input).unwrap());
        assert_eq!(encode_hex(&tree.root()), root);
    }
}

#[test]
fn every_leaf_of_every_size_up_to_130_is_proved_and_nothing_else_is() {
    // Goal: inclusion is exact. Method: all sizes and indices; each proof is tried with a neighbour's index, another
    // leaf, a shorter, a longer and another size.
    let all = leaves(130);
    let mut tree = Tree::new();
    assert_eq!(tree.inclusion(0), None);
    for (size, leaf) in (1_u64..).zip(&all) {
        tree.push_hash(*leaf);
        let root = tree.root();
        assert_eq!(root, definition(&all[..usize::try_from(size).unwrap()]));
        assert_eq!(tree.inclusion(size), None);
        for (index, leaf) in (0..size).zip(&all) {
            let proof = tree.inclusion(index).unwrap();
            assert!(proof.proves(leaf, &root), "{index} of {size}");
            assert!(!proof.proves(&root, &root) || size == 1);
            let mut other = proof.clone();
            other.index = (index + 1) % size;
            assert!(!other.proves(leaf, &root) || size == 1, "{index} of {size} at the next index");
            other = proof.clone();
            other.path.push(*leaf);
            assert!(!other.proves(leaf, &root));
            other.path.truncate(proof.path.len().saturating_sub(1));
            assert!(!other.proves(leaf, &root) || size == 1);
            other = Inclusion { index: size, ..proof };
            assert!(!other.proves(leaf, &root));
        }
    }
}

#[test]
fn every_pair_of_sizes_up_to_130_is_consistent_and_nothing_else_is() {
    // Goal: consistency is exact. Method: all pairs; each proof is tried with swapped, foreign and neighbouring roots.
    let all = leaves(130);
    let mut tree = Tree::new();
    let mut roots = vec![tree.root()];
    for (second, leaf) in (1_u64..).zip(&all) {
        tree.push_hash(*leaf);
        roots.push(tree.root());
        assert_eq!(tree.consistency(second + 1), None);
        for first in 0..=second {
            let proof = tree.consistency(first).unwrap();
            let (old, new) = (&roots[usize::try_from(first).unwrap()], &tree.root());
            assert_eq!(tree.root_at(first).as_ref(), Some(old));
            assert!(proof.proves(old, new), "{first} of {second}");
            assert!(!proof.proves(new, old) || first == second, "{first} of {second} swapped");
            assert!(!proof.proves(&[7; 32], new) && (first == 0 || !proof.proves(old, &[7; 32])));
            let mut longer = proof.clone();
            longer.path.push(*leaf);
            assert!(!longer.proves(old, new));
            let swapped = Consistency { first: second, second: first, path: proof.path };
            assert!(!swapped.proves(new, old) || first == second);
        }
    }
}

#[test]
fn a_node_is_never_taken_for_a_leaf() {
    // Goal: second-preimage safety. Method: the data of a leaf made of two hashes is not their node.
    let [left, right] = [leaf_hash(b"a"), leaf_hash(b"b")];
    assert_ne!(leaf_hash(&[left, right].concat()), node_hash(&left, &right));
}

proptest! {
    #[test]
    fn a_mutated_proof_is_refused(size in 1_u64..200, chosen in any::<prop::sample::Index>(), flip in any::<u16>()) {
        let all = leaves(size);
        let tree: Tree = all.iter().copied().collect();
        let index = chosen.index(all.len());
        let proof = tree.inclusion(count(index)).unwrap();
        prop_assert!(proof.proves(&all[index], &tree.root()));
        let bits = proof.path.len() * 256;
        if bits > 0 {
            let bit = usize::from(flip) % bits;
            let mut bad = proof.clone();
            bad.path[bit / 256][bit % 256 / 8] ^= 1 << (bit % 8);
            prop_assert!(!bad.proves(&all[index], &tree.root()));
        }
        let other = all[(index + 1) % all.len()];
        prop_assert!(size == 1 || !proof.proves(&other, &tree.root()));
    }

    #[test]
    fn arbitrary_proofs_never_panic(index in any::<u64>(), size in any::<u64>(), path in prop::collection::vec(any::<[u8; 32]>(), 0..70)) {
        let inclusion = Inclusion { index, size, path: path.clone() };
        prop_assert!(!inclusion.proves(&[1; 32], &[2; 32]));
        let consistency = Consistency { first: index, second: size, path };
        prop_assert!(!consistency.proves(&[1; 32], &[2; 32]));
    }
}
