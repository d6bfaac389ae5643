//! Anything a client may send: the machine never panics, its memory stays bounded, and what it
//! sends is made of whole lines.

#![expect(clippy::unwrap_used, reason = "what cannot be set up has failed the test")]

use std::sync::Arc;
use std::time::Duration;

use convoy_node::clock::monotonic;
use convoy_node::config::settings::{Config, Lookup};
use convoy_node::id::MessageId;
use convoy_node::smtp::address::Address;
use convoy_node::smtp::server::{
    Action, AuthResult, HEADROOM_BYTES, Incoming, LogLine, MIN_BUFFER_BYTES, Policy, Server, Setup,
    SubmitResult, Tls,
};
use proptest::prelude::*;

struct Anybody;

impl Policy for Anybody {
    fn may_relay(&self, recipient: &Address) -> bool {
        !recipient.domain().starts_with('x')
    }
}

fn server(relay: bool) -> Server {
    let relay = if relay { "yes" } else { "no" };
    let text = format!(
        "<source 0/0>\n always-allow-relaying {relay}\n allow-starttls yes\n log-commands yes\n\
         max-message-size 2000b\n allow-unencrypted-plain-auth yes\n</source>\n"
    );
    let config = Config::from_text(&text).unwrap();
    let setup = Setup {
        host_name: "mx.example".to_owned(),
        settings: config.source([192, 0, 2, 1].into(), None, None),
        policy: Arc::new(Anybody),
        max_body_bytes: 1 << 20,
        has_certificate: true,
        challenge_seed: 1,
    };
    let mut server = Server::new(monotonic(), setup);
    server.greet(monotonic());
    server
}

fn check_output(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).unwrap();
    let lines: Vec<&str> = text.strip_suffix("\r\n").unwrap().split("\r\n").collect();
    for line in lines {
        assert!(!line.contains(char::is_control), "{line:?}");
        assert!(line.len() <= 510 && line.len() >= 4, "{line:?}");
        assert!(line.as_bytes()[..3].iter().all(u8::is_ascii_digit), "{line:?}");
    }
}

/// Feeds the pieces as a driver does; returns what was submitted.
fn drive(server: &mut Server, pieces: &[Vec<u8>]) -> Vec<Incoming> {
    let mut now = monotonic();
    let (mut input, mut stored) = (Vec::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        now += Duration::from_millis(10);
        loop {
            while let Some(action) = server.poll() {
                match action {
                    Action::Send(bytes) => check_output(&bytes),
                    Action::Log(LogLine::Received(line) | LogLine::Sent(line)) => {
                        assert!(!line.contains(char::is_control));
                    }
                    Action::StartTls => {
                        assert!(input.is_empty(), "bytes in clear would be read as encrypted");
                        let (protocol, cipher) = ("TLSv1.3".to_owned(), "x".to_owned());
                        let (client_certificate, certificate_user) = (None, None);
                        let tls = Tls { protocol, cipher, client_certificate, certificate_user };
                        server.tls_started(now, tls);
                    }
                    Action::Authenticate(_) => server.authenticated(now, AuthResult::Refused),
                    Action::Submit(incoming) => {
                        stored.push(*incoming);
                        server.submitted(now, SubmitResult::Accepted(MessageId::generate()));
                    }
                    Action::Close => return stored,
                }
            }
            assert!(server.held_bytes() <= HEADROOM_BYTES + 2000);
            let taken = server.receive(now, &input);
            assert!(taken <= input.len());
            if taken == 0 {
                break;
            }
            input.drain(..taken);
        }
        while let Some(action) = server.poll() {
            match action {
                Action::Send(bytes) => check_output(&bytes),
                Action::Close => return stored,
                other => panic!("{other:?} without input"),
            }
        }
        assert!(input.len() < MIN_BUFFER_BYTES, "a driver's buffer would be full");
    }
    stored
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "EHLO a\r\n",
        "HELO a\r\n",
        "MAIL FROM:<a@b>\r\n",
        "MAIL FROM:<> SIZE=10\r\n",
        "RCPT TO:<c@d>\r\n",
        "RCPT TO:<c@x>\r\n",
        "DATA\r\n",
        "\r\n.\r\n",
        ".\r\n",
        "text",
        "\r",
        "\n",
        "\r\n",
        "BDAT 3\r\n",
        "BDAT 5 LAST\r\n",
        "abc",
        "RSET\r\n",
        "NOOP\r\n",
        "STARTTLS\r\n",
        "AUTH PLAIN\r\n",
        "AUTH LOGIN YQ==\r\n",
        "AUTH CRAM-MD5\r\n",
        "YQ==\r\n",
        "*\r\n",
        "QUIT\r\n",
        "VRFY x\r\n",
        "GET /\r\n",
        "\0",
        "..",
        "MAIL FROM:<\"",
    ]);
    prop_oneof![
        8 => known.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..100),
        1 => (any::<u8>(), 0..3000usize).prop_map(|(byte, n)| vec![byte; n]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_client_is_survived(
        relay in any::<bool>(),
        pieces in prop::collection::vec(piece(), 0..60),
    ) {
        for incoming in drive(&mut server(relay), &pieces) {
            prop_assert!(!incoming.recipients.is_empty());
            let text = &incoming.body[HEADROOM_BYTES..];
            let sound = String::from_utf8_lossy(text).replace("\r\n", "");
            prop_assert!(!sound.contains(['\r', '\n']), "a bare line end came through");
        }
    }
}
