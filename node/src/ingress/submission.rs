//! From what a client sent to what the queue stores: trace fields, Convoy's own header fields,
//! the queue of each recipient, the accounting rows of the reception.

use std::net::IpAddr;

use bytes::{Buf, Bytes, BytesMut};

use super::vmta::{self, Choice, Rounds};
use crate::clock::Timestamp;
use crate::config::settings::{AddDate, Config, DsnReturn, Lookup, SourceSettings};
use crate::id::{MessageId, QueueName};
use crate::message::headers::Headers;
use crate::message::trace::{self, Protocol, ReceivedFacts};
use crate::message::{Envelope, Origin, Recipient, Record, RecordType, Ret, TlsInfo};
use crate::queue::model::Submission;
use crate::smtp::address::Address;
use crate::smtp::command::RcptTo;
use crate::smtp::reply::Reply;
use crate::smtp::server::{HEADROOM_BYTES, Incoming, Tls};

/// Characters of a job or envelope id.
const MAX_ID_CHARS: usize = 255;

/// Circumstances of a reception.
pub(super) struct Reception<'a> {
    pub(super) config: &'a Config,
    pub(super) rounds: &'a Rounds,
    pub(super) client: IpAddr,
    /// The address that the client connected to.
    pub(super) local: IpAddr,
    pub(super) id: MessageId,
    pub(super) at: Timestamp,
}

/// What the message's own header decides.
struct Wishes {
    choice: Choice,
    job: Option<String>,
    envid: Option<String>,
}

impl Reception<'_> {
    /// Makes the submission.
    ///
    /// # Errors
    ///
    /// The reply when the message cannot be taken.
    pub(super) fn compose(&self, incoming: Incoming) -> Result<Submission, Reply> {
        let settings = &incoming.settings;
        let text = &incoming.body[HEADROOM_BYTES..];
        let headers = Headers::parse(text);
        if headers.count("received") as u64 > u64::from(settings.max_message_hops) {
            return Err(Reply::new(554, 4, 6, "too many hops, mail loop suspected"));
        }
        let wishes = self.wishes(settings, &headers)?;
        let wanted = self.config.accounting_headers(RecordType::Receipt);
        let shown: Vec<(String, String)> = wanted
            .iter()
            .map(|name| (name.clone(), headers.get(name).unwrap_or_default()))
            .collect();
        let section = self.section(&incoming, &headers);
        let body_offset = HEADROOM_BYTES + headers.body_offset();

        let mut envelope = self.envelope(&incoming, wishes);
        let body = prefixed(incoming.body, body_offset, &section);
        envelope.size_bytes = body.len() as u64;
        let records = self.records(&envelope, &shown);
        Ok(Submission { envelope, body, records })
    }

    fn wishes(&self, settings: &SourceSettings, headers: &Headers<'_>) -> Result<Wishes, Reply> {
        let header = headers.get("x-virtual-mta");
        let choice = vmta::choose(self.config, settings, header.as_deref(), self.local)?;
        let named = settings.jobid_header.as_deref().and_then(|name| headers.get(name));
        let job = named.or_else(|| settings.process_x_job.then(|| headers.get("x-job")).flatten());
        let envid = settings.process_x_envid.then(|| headers.get("x-envid")).flatten();
        Ok(Wishes { choice, job: job.and_then(one_line), envid: envid.and_then(one_line) })
    }

    /// The header section that the message goes on with: trace fields first.
    fn section(&self, incoming: &Incoming, headers: &Headers<'_>) -> Vec<u8> {
        let settings = &incoming.settings;
        let mut section = Vec::new();
        if settings.add_received_header {
            section.extend_from_slice(self.received(incoming).as_bytes());
        }
        if settings.add_message_id_header && headers.count("message-id") == 0 {
            let host = &self.config.server.host_name;
            section.extend_from_slice(format!("Message-Id: <{}@{host}>\r\n", self.id).as_bytes());
        }
        let adds_date = match settings.add_date_header {
            AddDate::No => false,
            AddDate::Yes => headers.count("date") == 0,
            AddDate::Override => true,
        };
        if adds_date {
            section.extend_from_slice(format!("Date: {}\r\n", trace::date(self.at)).as_bytes());
        }
        let added = !section.is_empty();
        let kept = headers.without(&dropped_fields(settings));
        section.extend_from_slice(&kept);
        // A message that starts with its body has no blank line that would keep the two apart.
        let has_blank_line = headers.body_offset() > headers.section().len();
        if has_blank_line || (added && headers.section().is_empty()) {
            section.extend_from_slice(b"\r\n");
        }
        section
    }

    fn received(&self, incoming: &Incoming) -> String {
        let hidden = incoming.settings.hide_message_source;
        let tls = incoming.tls.as_ref();
        let protocol = Protocol {
            esmtp: incoming.greeting.esmtp,
            tls: tls.is_some(),
            auth: incoming.user.is_some(),
            utf8: incoming.mail.smtputf8,
        };
        let only = match incoming.recipients.as_slice() {
            [one] => Some(one.address.to_string()),
            _ => None,
        };
        trace::received(&ReceivedFacts {
            helo: if hidden { "hidden" } else { &incoming.greeting.name },
            client: (!hidden).then_some(self.client),
            by: &self.config.server.host_name,
            id: self.id,
            protocol,
            tls: tls.map(|tls| (tls.protocol.as_str(), tls.cipher.as_str())),
            client_certificate: tls.and_then(|tls| tls.client_certificate.as_deref()),
            recipient: only.as_deref(),
            at: self.at,
        })
    }

    fn envelope(&self, incoming: &Incoming, wishes: Wishes) -> Envelope {
        let settings = &incoming.settings;
        let default_ret = match settings.dsn_return_default {
            DsnReturn::Headers => Some(Ret::Headers),
            DsnReturn::Full => Some(Ret::Full),
            DsnReturn::System => None,
        };
        let vmta_pool = match &wishes.choice {
            Choice::One(_) => None,
            Choice::Pool(name) => Some(name.clone()),
        };
        let recipients = incoming.recipients.iter();
        Envelope {
            id: self.id,
            received_at: self.at,
            sender: incoming.mail.path.clone(),
            recipients: recipients.map(|rcpt| self.recipient(rcpt, &wishes.choice)).collect(),
            size_bytes: 0,
            body_type: incoming.mail.body,
            smtputf8: incoming.mail.smtputf8,
            ret: incoming.mail.ret.or(default_ret),
            envid: wishes.envid.or_else(|| incoming.mail.envid.clone()),
            job: wishes.job,
            vmta_pool,
            origin: Origin::Smtp {
                helo: incoming.greeting.name.clone(),
                client: self.client,
                local: self.local,
                user: incoming.user.clone(),
                tls: incoming.tls.as_ref().map(tls_info),
            },
            suppress_dsn: settings.suppress_local_dsn,
        }
    }

    fn recipient(&self, rcpt: &RcptTo, choice: &Choice) -> Recipient {
        let address = self.qualified(&rcpt.address);
        let vmta = match choice {
            Choice::One(name) => name.clone(),
            Choice::Pool(pool) => self.rounds.draw(self.config, pool),
        };
        let domain = self.config.queue_domain(&address.domain_key(), &vmta);
        let queue = QueueName { domain, vmta };
        Recipient { address, notify: rcpt.notify, orcpt: rcpt.orcpt.clone(), queue }
    }

    /// `<postmaster>` alone is the configured postmaster, or the one of this host.
    fn qualified(&self, address: &Address) -> Address {
        if !address.domain().is_empty() {
            return address.clone();
        }
        let server = &self.config.server;
        let configured = server.postmaster.iter().find_map(|text| {
            Address::parse(text).ok().filter(|address| !address.domain().is_empty())
        });
        let local = || Address::parse(&format!("{}@{}", address.local(), server.host_name)).ok();
        configured.or_else(local).unwrap_or_else(|| address.clone())
    }

    fn records(&self, envelope: &Envelope, headers: &[(String, String)]) -> Vec<Record> {
        if !self.config.wants_records(RecordType::Receipt) {
            return Vec::new();
        }
        let numbers = 0..envelope.recipients.len();
        let record = |number| {
            let mut record = Record::of(RecordType::Receipt, self.at, envelope, number);
            record.headers = headers.to_vec();
            record
        };
        numbers.map(record).collect()
    }
}

fn tls_info(tls: &Tls) -> TlsInfo {
    TlsInfo { protocol: tls.protocol.clone(), cipher: tls.cipher.clone() }
}

/// The fields that do not travel on.
fn dropped_fields(settings: &SourceSettings) -> Vec<&str> {
    let mut names: Vec<&str> = settings.remove_headers.iter().map(String::as_str).collect();
    if settings.process_x_virtual_mta && !settings.retain_x_virtual_mta {
        names.push("x-virtual-mta");
    }
    if !settings.retain_x_job {
        names.extend(settings.jobid_header.as_deref());
        names.extend(settings.process_x_job.then_some("x-job"));
    }
    if settings.process_x_envid {
        names.push("x-envid");
    }
    if settings.add_date_header == AddDate::Override {
        names.push("date");
    }
    names
}

/// An id from a header: without controls, bounded; none when nothing is left.
fn one_line(text: String) -> Option<String> {
    let id: String = text.chars().filter(|c| !c.is_control()).take(MAX_ID_CHARS).collect();
    (!id.is_empty()).then_some(id)
}

/// Replaces everything before `body_offset` by `section`: in place when it fits into what was
/// there and the headroom before it, so that the body is not copied.
fn prefixed(mut bytes: BytesMut, body_offset: usize, section: &[u8]) -> Bytes {
    if let Some(start) = body_offset.checked_sub(section.len()) {
        bytes[start..body_offset].copy_from_slice(section);
        bytes.advance(start);
        return bytes.freeze();
    }
    let mut copy = BytesMut::with_capacity(section.len() + bytes.len() - body_offset);
    copy.extend_from_slice(section);
    copy.extend_from_slice(&bytes[body_offset..]);
    copy.freeze()
}

#[cfg(test)]
#[path = "submission_test.rs"]
mod tests;
