//! `type file`: messages go into files. A result is reported only after the file is synced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, Write as _};
use std::path::{Path as FilePath, PathBuf};

use bytes::Bytes;

use super::transfer::Loaded;
use crate::clock::Timestamp;
use crate::config::settings::FileFormat;
use crate::delivery::classify;
use crate::message::{BodyType, Class, Outcome, Recipient, Status};

/// Writes a message into the files of its recipients; gives an outcome for each.
pub(super) async fn deliver(
    loaded: &Loaded,
    format: FileFormat,
    destination: &str,
) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for i in 0..loaded.waiting.len() {
        let item = Item::of(loaded, i, format, destination);
        let written = tokio::task::spawn_blocking(move || item.write()).await;
        outcomes.push(match written {
            Ok(Ok(())) => classify::own(Class::Delivered, Status(2, 0, 0), "written to file"),
            Ok(Err(error)) => failed(&error.to_string()),
            Err(error) => failed(&error.to_string()),
        });
    }
    outcomes
}

fn failed(error: &str) -> Outcome {
    classify::own(Class::Deferred, Status(4, 2, 0), format!("cannot write file: {error}"))
}

/// One message for one recipient.
struct Item {
    format: FileFormat,
    destination: PathBuf,
    /// The same for every try, so that a repeated delivery replaces its file.
    name: String,
    sender: String,
    recipient: String,
    received_at: Timestamp,
    body: Bytes,
}

impl Item {
    fn of(loaded: &Loaded, i: usize, format: FileFormat, destination: &str) -> Self {
        let envelope = &loaded.stored.envelope;
        let number = loaded.waiting[i].recipient;
        let recipient = &envelope.recipients[usize::from(number)];
        let macros = Macros {
            sender: envelope.sender.to_string(),
            recipient,
            envid: envelope.envid.clone().unwrap_or_default(),
            body_type: envelope.body_type,
            at: envelope.received_at,
        };
        Self {
            format,
            destination: PathBuf::from(macros.expand(destination)),
            name: format!("{}-{number}.eml", envelope.id),
            sender: envelope.sender.to_string(),
            recipient: recipient.address.to_string(),
            received_at: envelope.received_at,
            body: loaded.body.clone(),
        }
    }

    fn write(&self) -> io::Result<()> {
        match self.format {
            FileFormat::NewfilePlain => self.new_file(b""),
            FileFormat::NewfilePickup => {
                let head =
                    format!("x-sender: {}\r\nx-receiver: {}\r\n", self.sender, self.recipient);
                self.new_file(head.as_bytes())
            }
            FileFormat::AppendMbox => self.append(),
        }
    }

    /// A new file that appears under its name when it is complete.
    fn new_file(&self, head: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.destination)?;
        let hidden = self.destination.join(format!(".{}", self.name));
        let mut file = File::create(&hidden)?;
        file.write_all(head)?;
        file.write_all(&self.body)?;
        file.sync_all()?;
        fs::rename(&hidden, self.destination.join(&self.name))?;
        File::open(&self.destination)?.sync_all()
    }

    fn append(&self) -> io::Result<()> {
        if let Some(parent) = self.destination.parent() {
            fs::create_dir_all(parent)?;
        }
        let is_new = !self.destination.exists();
        let mut file = OpenOptions::new().create(true).append(true).open(&self.destination)?;
        file.lock()?;
        let before = file.seek(io::SeekFrom::End(0))?;
        let written = file.write_all(&self.mbox()).and_then(|()| file.sync_all());
        if let Err(error) = written {
            // Half a message would be taken for a whole one.
            file.set_len(before)?;
            return Err(error);
        }
        if is_new { sync_parent(&self.destination) } else { Ok(()) }
    }

    /// The message as an mbox has it: LF line ends, lines that look like the start of a message
    /// quoted.
    fn mbox(&self) -> Vec<u8> {
        let sender = if self.sender.is_empty() { "MAILER-DAEMON" } else { &self.sender };
        let date = self.received_at.local().strftime("%a %b %e %H:%M:%S %Y").to_string();
        let mut text = format!("From {sender} {date}\n").into_bytes();
        for line in self.body.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let marks = line.iter().take_while(|byte| **byte == b'>').count();
            if line[marks..].starts_with(b"From ") {
                text.push(b'>');
            }
            text.extend_from_slice(line);
            text.push(b'\n');
        }
        text.push(b'\n');
        text
    }
}

fn sync_parent(path: &FilePath) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        Some(_) | None => Ok(()),
    }
}

/// What `$` names in `file-destination` stand for.
struct Macros<'a> {
    sender: String,
    recipient: &'a Recipient,
    envid: String,
    body_type: BodyType,
    at: Timestamp,
}

impl Macros<'_> {
    fn value(&self, name: &str) -> Option<String> {
        let address = &self.recipient.address;
        let value = match name {
            "from" => self.sender.to_lowercase(),
            "to" => address.to_string().to_lowercase(),
            "user" => address.local().to_lowercase(),
            "domain" => address.domain().to_lowercase(),
            "envid" => self.envid.clone(),
            "ctime" => self.at.as_secs().to_string(),
            "isodate" => self.at.local().strftime("%Y-%m-%d").to_string(),
            "bodytype" => match self.body_type {
                BodyType::SevenBit => "7BIT".to_owned(),
                BodyType::EightBitMime => "8BITMIME".to_owned(),
            },
            _ => return None,
        };
        Some(safe(&value))
    }

    /// Replaces `$name`; `$$` is a dollar sign, and unknown names stay as they are.
    fn expand(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            let length = after.bytes().take_while(u8::is_ascii_alphanumeric).count();
            let (name, tail) = after.split_at(length);
            match self.value(&name.to_ascii_lowercase()) {
                Some(value) => out.push_str(&value),
                None => {
                    out.push('$');
                    out.push_str(name);
                }
            }
            rest = if name.is_empty() { tail.strip_prefix('$').unwrap_or(tail) } else { tail };
        }
        out + rest
    }
}

/// A value that strangers chose, as part of a path: it cannot leave its place.
fn safe(value: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "@._+=-~#".contains(c);
    let value: String = value.chars().map(|c| if plain(c) { c } else { '_' }).take(200).collect();
    if value.starts_with('.') { format!("_{value}") } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::QueueName;
    use crate::message::Notify;
    use crate::smtp::address::Address;

    fn recipient(address: &str) -> Recipient {
        Recipient {
            address: Address::parse(address).unwrap(),
            notify: Notify::Unspecified,
            orcpt: None,
            queue: QueueName { domain: String::new(), vmta: String::new() },
        }
    }

    #[test]
    fn macros_cannot_leave_their_place() {
        fn check(address: &str, template: &str, expected: &str) {
            let macros = Macros {
                sender: "A@Client.example".to_owned(),
                recipient: &recipient(address),
                envid: String::new(),
                body_type: BodyType::EightBitMime,
                at: Timestamp(0),
            };
            assert_eq!(macros.expand(template), expected);
        }
        check("Bob@X.example", "/m/$domain/$user", "/m/x.example/bob");
        check("Bob@X.example", "/m/$from-$bodytype$ctime", "/m/a@client.example-8BITMIME0");
        check("\"../../etc\"@x.example", "/m/$user", "/m/_.._.._etc_");
        check("b@x.example", "/m/$$5/$nobody", "/m/$5/$nobody");
        assert_eq!(safe(".."), "_..");
    }

    fn item(format: FileFormat, destination: PathBuf, body: &'static str) -> Item {
        Item {
            format,
            destination,
            name: "1-0.eml".to_owned(),
            sender: "a@client.example".to_owned(),
            recipient: "b@x.example".to_owned(),
            received_at: Timestamp(0),
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn a_new_file_holds_the_message_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("new");
        item(FileFormat::NewfilePlain, folder.clone(), ".x\r\n").write().unwrap();
        assert_eq!(fs::read_to_string(folder.join("1-0.eml")).unwrap(), ".x\r\n");
        item(FileFormat::NewfilePickup, folder.clone(), "x\r\n").write().unwrap();
        let text = fs::read_to_string(folder.join("1-0.eml")).unwrap();
        assert_eq!(text, "x-sender: a@client.example\r\nx-receiver: b@x.example\r\nx\r\n");
        assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn an_mbox_grows_and_its_messages_stay_apart() {
        let directory = tempfile::tempdir().unwrap();
        let mbox = directory.path().join("mbox");
        let write = || {
            let body = "S: x\r\n\r\nFrom here\r\n>From there";
            item(FileFormat::AppendMbox, mbox.clone(), body).write().unwrap();
        };
        write();
        write();
        let text = fs::read_to_string(&mbox).unwrap();
        assert_eq!(text.matches("\nFrom a@client.example ").count(), 1);
        assert!(text.starts_with("From a@client.example "), "{text}");
        assert!(text.contains("\n>From here\n>>From there\n\n"), "{text}");
    }
}
