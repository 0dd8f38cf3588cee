//! Two planes behind one port, for hospitals whose firewall opens a single one: enrolment and devices.
//!
//! The name that a connection asks for in TLS (SNI, RFC 6066 section 3) decides before the handshake is answered: under
//! `enrol.HOST` it gets the enrolment plane's configuration and routes, under any other name, or none, the device
//! plane's. Nothing else is shared: each plane keeps its own limits, counters and rules for client certificates. A
//! connection has one plane for life; what it says inside TLS cannot move it. Read next: [`SharedPort::serve`],
//! [`super::Plane`].

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::server::Acceptor;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::LazyConfigAcceptor;

use super::{Ending, Plane, Shared, greet, turn, welcome};

/// The two planes of one listener. Both speak TLS.
pub struct SharedPort {
    /// The name under which the enrolment plane is asked for.
    pub name: String,
    /// The plane behind that name.
    pub enrolment: Plane,
    /// The plane behind all others.
    pub devices: Plane,
}

/// The planes at work.
struct Sides {
    name: String,
    enrolment: Arc<Shared>,
    devices: Arc<Shared>,
}

impl SharedPort {
    /// Accepts and serves until `drain` turns true, then lets requests under way end.
    pub async fn serve(self, listener: TcpListener, drain: watch::Receiver<bool>) {
        let sides = Arc::new(Sides {
            name: self.name,
            enrolment: Arc::new(Shared::of(self.enrolment, drain.clone())),
            devices: Arc::new(Shared::of(self.devices, drain)),
        });
        // Nobody's plane is known before the first message, so those who have not sent it yet are bounded by themselves.
        let hall = Arc::new(Semaphore::new(sides.devices.limits.connections));
        let begin = |stream, address| {
            let Ok(greeting) = hall.clone().try_acquire_owned() else {
                sides.devices.metrics.shed("full");
                return None;
            };
            Some(sort(stream, address, greeting, sides.clone()))
        };
        welcome(listener, Ending::of(&sides.devices), begin).await;
    }
}

impl Sides {
    /// The plane of a name. Names are compared as DNS does, whatever their case.
    fn plane(&self, asked: Option<&str>) -> &Arc<Shared> {
        match asked {
            Some(asked) if asked.eq_ignore_ascii_case(&self.name) => &self.enrolment,
            Some(_) | None => &self.devices,
        }
    }
}

/// One connection: its first message, its plane, its handshake, all within the time of one handshake.
async fn sort(stream: TcpStream, address: SocketAddr, greeting: OwnedSemaphorePermit, sides: Arc<Sides>) {
    // Small answers leave at once.
    let _ = stream.set_nodelay(true);
    let until = Instant::now() + sides.devices.limits.handshake;
    let hello = timeout_at(until, LazyConfigAcceptor::new(Acceptor::default(), stream)).await;
    drop(greeting);
    let hello = match hello {
        Ok(Ok(hello)) => hello,
        Ok(Err(error)) => {
            tracing::debug!(%address, %error, "a handshake failed");
            return sides.devices.metrics.shed("handshake");
        }
        Err(_) => return sides.devices.metrics.shed("slow-handshake"),
    };
    let plane = sides.plane(hello.client_hello().server_name()).clone();
    let Some(place) = plane.place() else { return };
    let Some(tls) = &plane.tls else { return plane.metrics.shed("handshake") };
    let Some(turn) = turn(&plane.handshakes).await else { return plane.metrics.shed("queue") };
    let shaken = timeout_at(until, hello.into_stream(tls.config().clone())).await;
    drop(turn);
    greet(shaken, address, place, plane.clone()).await;
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use cordon_proto::checkin::CheckinAnswer;
    use cordon_proto::wire;
    use tokio::io::AsyncWriteExt;
    use tokio::time::timeout;

    use super::*;
    use crate::testing::{Bench, Enrolled, PATIENCE, Wire, checkin};

    /// An address that nobody listens at, with a port below those that the kernel gives out by itself: nobody else takes
    /// it meanwhile.
    fn free_address() -> SocketAddr {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            let number =
                std::process::id().wrapping_mul(101).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
            let port = 10_000 + u16::try_from(number % 20_000).expect("small");
            if let Ok(free) = std::net::TcpListener::bind(("127.0.0.1", port)) {
                return free.local_addr().expect("is bound");
            }
        }
    }

    /// A server whose two planes share a port.
    async fn shared(sets: &[&str]) -> Bench {
        let address = free_address();
        let planes = ["enrolment", "device"].map(|plane| format!("{plane}.listen={address}"));
        let sets: Vec<&str> = planes.iter().map(String::as_str).chain(sets.iter().copied()).collect();
        let bench = Bench::start(&sets).await;
        assert_eq!((bench.server.ready.enrolment, bench.server.ready.device), (address, address));
        bench
    }

    async fn named(bench: &Bench, name: &str, device: Option<&Enrolled>) -> Wire {
        let config = bench.client(device);
        Wire::open_as(name, bench.server.ready.device, config).await.expect("a connection")
    }

    async fn until(done: impl Fn() -> bool) {
        let waiting = async {
            while !done() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, waiting).await.expect("comes in time");
    }

    #[tokio::test]
    async fn the_name_that_is_asked_for_chooses_the_plane_for_the_whole_connection() {
        // Goal: one port, two planes, no way from one to the other. Method: each name, with and without certificate,
        // on a route of each plane.
        let bench = shared(&[]).await;
        let device = bench.enrol("A").await;
        let body = wire::write(&checkin(&device));
        let mut ours = named(&bench, "localhost", Some(&device)).await;
        let _: CheckinAnswer = ours.post("/v1/checkin", &body).await.message();
        assert_eq!(ours.get("/.well-known/est/cacerts", &[]).await.status, 404, "no enrolment here");
        for name in ["enrol.localhost", "ENROL.localhost"] {
            for certificate in [None, Some(&device)] {
                let mut est = named(&bench, name, certificate).await;
                assert_eq!(est.get("/.well-known/est/cacerts", &[]).await.status, 200, "{name}");
                assert_eq!(est.post("/v1/checkin", &body).await.status, 404, "no check-in under {name}");
            }
        }
        // An address is no name: without one it is the device plane, which demands a certificate.
        for name in ["localhost", "127.0.0.1"] {
            assert!(
                named(&bench, name, None).await.ended().await,
                "{name} lets nobody in without a certificate"
            );
        }
        let metrics = &bench.app().metrics;
        assert_eq!(metrics.plane("device").count_shed("handshake"), 2);
        assert!(metrics.plane("enrolment").connections() >= 5, "each plane counts its own");
        assert!(metrics.plane("device").connections() >= 1);
    }

    #[tokio::test]
    async fn a_full_enrolment_plane_costs_the_devices_nothing() {
        // Goal: the limits stay each plane's own. Method: two places each; strangers take all of one plane's.
        let bench = shared(&["limits.connections=2", "limits.handshakes=2"]).await;
        let device = bench.enrol("A").await;
        let plane = bench.app().metrics.plane("enrolment");
        until(|| plane.open() == 0).await;
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(named(&bench, "enrol.localhost", None).await);
        }
        let turned_away =
            Wire::open_as("enrol.localhost", bench.server.ready.device, bench.client(None)).await;
        assert!(turned_away.is_err(), "two places and one to say so");
        assert_eq!(plane.count_shed("full"), 1);
        let mut ours = named(&bench, "localhost", Some(&device)).await;
        let _: CheckinAnswer = ours.post("/v1/checkin", &wire::write(&checkin(&device))).await.message();
    }

    #[tokio::test]
    async fn whoever_says_nothing_or_nonsense_is_sent_away() {
        // Goal: no free waiting room before the first message. Method: half a record for longer than a handshake may
        // take, bytes that are no TLS; a device meanwhile.
        let bench = shared(&["limits.handshake_s=3", "limits.handshakes=2"]).await;
        let device = bench.enrol("A").await;
        let address = bench.server.ready.device;
        let mut half = TcpStream::connect(address).await.expect("connects");
        half.write_all(&[0x16, 0x03, 0x01, 0x02]).await.expect("writes");
        let mut nonsense = TcpStream::connect(address).await.expect("connects");
        nonsense.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("writes");
        let mut ours = named(&bench, "localhost", Some(&device)).await;
        let _: CheckinAnswer = ours.post("/v1/checkin", &wire::write(&checkin(&device))).await.message();
        let plane = bench.app().metrics.plane("device");
        until(|| plane.count_shed("slow-handshake") + plane.count_shed("handshake") == 2).await;
        assert_eq!(plane.count_shed("slow-handshake"), 1);
    }
}
