//! DHCP for IPv4: what kind of message it is, whose hardware address it names, what is asked for, and who answers (RFC 2131, 2132).
//!
//! The host name and all other options are passed over: they may name a person.

use core::net::Ipv4Addr;

use cordon_proto::limits;

use super::Mac;

/// What a client or a server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// The hardware address of the client.
    pub client: Mac,
    /// DHCPDISCOVER is 1, OFFER 2, REQUEST 3, ACK 5 (option 53); 0 where the message does not say.
    pub kind: u8,
    /// The address that a client asks for (option 50).
    pub asked: Option<Ipv4Addr>,
    /// The server that is meant, or that answers (option 54).
    pub server: Option<Ipv4Addr>,
}

/// A message, from a UDP payload.
#[must_use]
pub fn message(bytes: &[u8]) -> Option<Message> {
    let (head, rest) = bytes.split_first_chunk::<34>()?;
    let [1 | 2, 1, 6, ..] = *head else { return None };
    let [.., a, b, c, d, e, f] = *head;
    // Padding of the hardware address, server name, boot file; then the cookie that says that options follow.
    let (_, rest) = rest.split_at_checked(10 + 64 + 128)?;
    let options = rest.strip_prefix(&[0x63, 0x82, 0x53, 0x63])?;
    let mut message = Message { client: Mac([a, b, c, d, e, f]), kind: 0, asked: None, server: None };
    message.read(options);
    Some(message)
}

impl Message {
    fn read(&mut self, mut options: &[u8]) {
        for _ in 0..limits::DHCP_OPTIONS {
            options = match options {
                [0, rest @ ..] => rest,
                [code @ 1..=254, length, rest @ ..] => {
                    let Some((value, rest)) = rest.split_at_checked(usize::from(*length)) else { return };
                    match (code, value) {
                        (53, [kind]) => self.kind = *kind,
                        (50, [a, b, c, d]) => self.asked = Some(Ipv4Addr::new(*a, *b, *c, *d)),
                        (54, [a, b, c, d]) => self.server = Some(Ipv4Addr::new(*a, *b, *c, *d)),
                        _ => {}
                    }
                    rest
                }
                _ => return,
            };
        }
    }
}
