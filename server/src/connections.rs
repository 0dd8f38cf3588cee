//! Which device connections are open, by the certificate they proved, and the way to end them at once.
//!
//! A quarantined device must not live on in a connection that was opened before. This registry ends such
//! connections within the second; it grants nothing: every request is checked against the device table besides.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cordon_proto::ids::Sha256;
use tokio::sync::Notify;

/// The open connections of one plane.
#[derive(Debug, Default)]
pub struct Connections {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    by_leaf: HashMap<Sha256, HashMap<u64, Arc<Notify>>>,
    seen: HashSet<Sha256>,
}

/// One open connection. Dropping it takes it off the list.
#[derive(Debug)]
pub struct Registration {
    connections: Arc<Connections>,
    leaf: Sha256,
    number: u64,
    cut: Arc<Notify>,
}

impl Connections {
    /// Notes a connection whose handshake proved this certificate.
    #[must_use]
    pub fn register(self: &Arc<Self>, leaf: Sha256) -> Registration {
        let cut = Arc::new(Notify::new());
        let mut open = self.lock();
        let number = open.next;
        open.next += 1;
        open.seen.insert(leaf);
        open.by_leaf.entry(leaf).or_default().insert(number, cut.clone());
        drop(open);
        Registration { connections: self.clone(), leaf, number, cut }
    }

    /// Ends every connection that proved this certificate, and says how many there were.
    pub fn cut(&self, leaf: &Sha256) -> usize {
        let open = self.lock();
        let connections = open.by_leaf.get(leaf);
        // A permit is stored for a connection that is not waiting for it yet.
        connections.into_iter().flat_map(HashMap::values).map(|cut| cut.notify_one()).count()
    }

    /// Connections open now that proved this certificate.
    #[must_use]
    pub fn open(&self, leaf: &Sha256) -> usize {
        self.lock().by_leaf.get(leaf).map_or(0, HashMap::len)
    }

    /// Different certificates that have been proved since the start.
    #[must_use]
    pub fn distinct(&self) -> usize {
        self.lock().seen.len()
    }

    /// Connections that proved a certificate since the start, ended ones counted.
    #[must_use]
    pub fn ever(&self) -> u64 {
        self.lock().next
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registration {
    /// Waits until the connection must end.
    pub async fn must_end(&self) {
        self.cut.notified().await;
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        if let Some(connections) = open.by_leaf.get_mut(&self.leaf) {
            connections.remove(&self.number);
            if connections.is_empty() {
                open.by_leaf.remove(&self.leaf);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn cutting_a_leaf_ends_its_connections_and_no_others() {
        // Goal: quarantine reaches open connections. Method: three connections, two of one leaf.
        let connections = Arc::new(Connections::default());
        let (bad, good) = (Sha256([1; 32]), Sha256([2; 32]));
        let (one, two) = (connections.register(bad), connections.register(bad));
        let other = connections.register(good);
        assert_eq!((connections.open(&bad), connections.distinct()), (2, 2));
        assert_eq!(connections.cut(&bad), 2);
        one.must_end().await;
        two.must_end().await;
        let waiting = tokio::time::timeout(std::time::Duration::from_millis(20), other.must_end()).await;
        assert!(waiting.is_err(), "the other device stays");
        drop((one, two));
        assert_eq!((connections.open(&bad), connections.open(&good), connections.distinct()), (0, 1, 2));
        assert_eq!(connections.cut(&bad), 0);
    }
}
