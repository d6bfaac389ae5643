//! A small name server: it knows a few A and MX records, and that nothing else exists.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use tokio::net::UdpSocket;

const TYPE_A: u16 = 1;
const TYPE_MX: u16 = 15;
/// A header and the reply's flags: an authoritative answer.
const FLAGS: u16 = 0x8580;
const NXDOMAIN: u16 = 3;

/// What a name has.
#[derive(Clone, Debug)]
pub enum Entry {
    /// An address.
    Address(Ipv4Addr),
    /// Mail exchangers with their preferences; `.` is the null MX.
    Mx(Vec<(u16, &'static str)>),
}

/// Serves `zone` on a free port of loopback as long as the runtime lives.
///
/// # Errors
///
/// When no port can be had.
pub async fn serve(zone: HashMap<&'static str, Entry>) -> Result<SocketAddr> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    let address = socket.local_addr()?;
    tokio::spawn(async move {
        let mut packet = [0; 512];
        while let Ok((size, peer)) = socket.recv_from(&mut packet).await {
            if let Some(reply) = answer(&packet[..size], &zone) {
                // A client that is gone asks nobody any more.
                let _ = socket.send_to(&reply, peer).await;
            }
        }
    });
    Ok(address)
}

/// The reply; none to what is no question.
fn answer(packet: &[u8], zone: &HashMap<&'static str, Entry>) -> Option<Vec<u8>> {
    let (mut labels, mut at) = (Vec::new(), 12);
    loop {
        let length = usize::from(*packet.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(packet.get(at..at + length)?).to_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]);
    let question = packet.get(12..at + 4)?;
    let entry = zone.get(labels.join(".").as_str());
    let records: Vec<Vec<u8>> = match (entry, kind) {
        (Some(Entry::Address(address)), TYPE_A) => vec![address.octets().to_vec()],
        (Some(Entry::Mx(hosts)), TYPE_MX) => hosts.iter().map(exchanger).collect(),
        _ => Vec::new(),
    };
    let flags = if entry.is_some() { FLAGS } else { FLAGS | NXDOMAIN };
    let mut reply = packet[..2].to_vec();
    for word in [flags, 1, u16::try_from(records.len()).ok()?, 0, 0] {
        reply.extend(word.to_be_bytes());
    }
    reply.extend(question);
    for data in records {
        // The name of the question, by its place; class IN; one second to live.
        reply.extend([0xc0, 12]);
        for word in [kind, 1, 0, 1, u16::try_from(data.len()).ok()?] {
            reply.extend(word.to_be_bytes());
        }
        reply.extend(data);
    }
    Some(reply)
}

fn exchanger((preference, host): &(u16, &'static str)) -> Vec<u8> {
    let mut data = preference.to_be_bytes().to_vec();
    for label in host.split('.').filter(|label| !label.is_empty()) {
        data.push(u8::try_from(label.len()).unwrap_or(63));
        data.extend(label.as_bytes());
    }
    data.push(0);
    data
}
