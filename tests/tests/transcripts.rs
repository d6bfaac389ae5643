//! Every transcript against the server's machine, with the client's bytes cut in every way.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use convoy_node::clock::{Instant, monotonic};
use convoy_node::config::settings::{Config, Lookup, SmtpUser, UserMethod};
use convoy_node::id::MessageId;
use convoy_node::smtp::address::Address;
use convoy_node::smtp::reply::Reply;
use convoy_node::smtp::sasl;
use convoy_node::smtp::server::{
    Action, AuthResult, Conditions, HEADROOM_BYTES, Identity, Policy, Server, Setup, SubmitResult,
    Tls,
};
use convoy_tests::transcript::{Step, Transcript};

/// How the client's bytes are cut.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Whole,
    /// Into pieces of this many bytes.
    Every(usize),
    /// Anywhere, from this seed.
    Random(u64),
}

const CUTS: [Cut; 9] = [
    Cut::Whole,
    Cut::Every(1),
    Cut::Every(2),
    Cut::Every(3),
    Cut::Every(7),
    Cut::Random(1),
    Cut::Random(2),
    Cut::Random(3),
    Cut::Random(4),
];

const ID: MessageId = MessageId(1);
const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

struct Rules(Arc<Config>);

impl Policy for Rules {
    fn may_relay(&self, recipient: &Address) -> bool {
        self.0.relay_allowed(recipient.local(), &recipient.domain_key())
    }
}

/// A machine with what a driver would do around it.
struct Session {
    config: Arc<Config>,
    server: Server,
    now: Instant,
    input: Vec<u8>,
    output: VecDeque<String>,
    last_line: String,
    bodies: Vec<Vec<u8>>,
    refuse: Option<String>,
    handshake_due: bool,
    closed: bool,
    cut: Cut,
    random: u64,
}

impl Session {
    fn new(config: Arc<Config>, cut: Cut) -> Self {
        let now = monotonic();
        let setup = Setup {
            host_name: config.server.host_name.clone(),
            settings: config.source(CLIENT, None, None),
            policy: Arc::new(Rules(Arc::clone(&config))),
            max_body_bytes: config.server.max_bytes_in_flight,
            has_certificate: true,
            challenge_seed: 7,
        };
        let random = if let Cut::Random(seed) = cut { seed } else { 1 };
        Self {
            config,
            server: Server::new(now, setup),
            now,
            input: Vec::new(),
            output: VecDeque::new(),
            last_line: String::new(),
            bodies: Vec::new(),
            refuse: None,
            handshake_due: false,
            closed: false,
            cut,
            random,
        }
    }

    const fn piece_len(&mut self) -> usize {
        match self.cut {
            Cut::Whole => usize::MAX,
            Cut::Every(n) => n,
            Cut::Random(_) => {
                self.random ^= self.random << 13;
                self.random ^= self.random >> 7;
                self.random ^= self.random << 17;
                (self.random % 40) as usize + 1
            }
        }
    }

    fn feed(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at(self.piece_len().min(bytes.len()));
            self.input.extend_from_slice(piece);
            bytes = rest;
            self.drive()?;
        }
        Ok(())
    }

    /// What a driver does until the machine wants more input.
    fn drive(&mut self) -> Result<()> {
        loop {
            while let Some(action) = self.server.poll() {
                self.act(action)?;
            }
            if self.closed || self.handshake_due {
                return Ok(());
            }
            let taken = self.server.receive(self.now, &self.input);
            ensure!(taken <= self.input.len(), "took more than there was");
            ensure!(self.server.held_bytes() < 64 << 20, "holds too much");
            if taken == 0 {
                while let Some(action) = self.server.poll() {
                    self.act(action)?;
                }
                return Ok(());
            }
            self.input.drain(..taken);
        }
    }

    fn act(&mut self, action: Action) -> Result<()> {
        ensure!(!self.closed, "an action after the end: {action:?}");
        match action {
            Action::Log(_) => {}
            Action::Send(bytes) => {
                let text = std::str::from_utf8(&bytes).context("output is not UTF-8")?;
                let lines = text.strip_suffix("\r\n").context("output without line end")?;
                // Transcripts do not repeat the id of a message, which is another one each time.
                let lines = lines.replace(&format!(" as {ID}"), "");
                for line in lines.split("\r\n") {
                    ensure!(!line.contains(char::is_control), "a control in {line:?}");
                    self.output.push_back(line.to_owned());
                }
            }
            Action::StartTls => {
                ensure!(self.input.is_empty(), "bytes from before the handshake are left");
                self.handshake_due = true;
            }
            Action::Authenticate(credentials) => {
                let user = self.config.users.get(credentials.user());
                let proved = user.filter(|user| match &user.method {
                    UserMethod::Password(password) => credentials.prove(password),
                    UserMethod::Certificate(_) => false,
                });
                let result = proved
                    .map_or(AuthResult::Refused, |user| AuthResult::Accepted(self.identity(user)));
                self.server.authenticated(self.now, result);
            }
            Action::Submit(incoming) => {
                let result = match self.refuse.take() {
                    Some(text) => SubmitResult::Refused(Reply::new(451, 3, 0, text)),
                    None => {
                        self.bodies.push(incoming.body[HEADROOM_BYTES..].to_vec());
                        SubmitResult::Accepted(ID)
                    }
                };
                self.server.submitted(self.now, result);
            }
            Action::Close => self.closed = true,
        }
        Ok(())
    }

    fn identity(&self, user: &SmtpUser) -> Identity {
        let settings = self.config.source(CLIENT, None, Some(user));
        Identity { user: user.name.clone(), settings }
    }

    fn start_tls(&mut self, user: Option<&str>) -> Result<()> {
        ensure!(self.handshake_due, "the server does not expect a handshake");
        self.handshake_due = false;
        let certificate_user = match user {
            Some(name) => {
                let user = self.config.users.get(name).context("no such user")?;
                Some(self.identity(user))
            }
            None => None,
        };
        let tls = Tls {
            protocol: "TLSv1.3".to_owned(),
            cipher: "TLS_AES_256_GCM_SHA384".to_owned(),
            client_certificate: None,
            certificate_user,
        };
        self.server.tls_started(self.now, tls);
        self.drive()
    }

    fn expect(&mut self, good: impl Fn(&str) -> bool, wanted: &str) -> Result<()> {
        let line = self.output.pop_front();
        let line = line.with_context(|| format!("no answer; wanted {wanted:?}"))?;
        ensure!(good(&line), "answered {line:?}; wanted {wanted:?}");
        self.last_line = line;
        Ok(())
    }

    fn run(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Client(bytes) => self.feed(bytes)?,
            Step::Server(text) => self.expect(|line| line == text, text)?,
            Step::ServerLike(pattern) => {
                let pattern = regex::Regex::new(pattern)?;
                self.expect(|line| pattern.is_match(line), pattern.as_str())?;
            }
            Step::Early => bail!("@early must be the first step"),
            Step::Tls(user) => self.start_tls(user.as_deref())?,
            Step::CramMd5 { user, password } => {
                let challenge = self.last_line.strip_prefix("334 ").context("no challenge")?;
                let challenge = sasl::decode(challenge).context("not base64")?;
                let challenge = std::str::from_utf8(&challenge)?;
                let digest = sasl::cram_md5_digest(password, challenge);
                let response = sasl::encode(&format!("{user} {digest}"));
                self.feed(format!("{response}\r\n").as_bytes())?;
            }
            Step::Messages(count) => {
                ensure!(self.bodies.len() == *count, "{} messages were stored", self.bodies.len());
            }
            Step::Body(text) => {
                let last = self.bodies.last().context("no message was stored")?;
                ensure!(last == text, "stored {:?}", String::from_utf8_lossy(last));
            }
            Step::Closed => {
                ensure!(self.output.is_empty(), "also answered {:?}", self.output);
                ensure!(self.closed, "the connection is open");
            }
            Step::Wait(seconds) => {
                self.now += Duration::from_secs(*seconds);
                if self.server.deadline().is_some_and(|deadline| deadline <= self.now) {
                    self.server.timed_out();
                }
                self.drive()?;
            }
            Step::Overload(overloaded) => {
                let conditions =
                    Conditions { overloaded: *overloaded, handshakes_exhausted: *overloaded };
                self.server.set_conditions(conditions);
            }
            Step::Shed => self.server.shed(),
            Step::Refuse(text) => self.refuse = Some(text.clone()),
            Step::Drain => {
                self.server.drain();
                self.drive()?;
            }
        }
        Ok(())
    }
}

/// Client steps that follow each other become one.
fn grouped(steps: &[(usize, Step)]) -> Vec<(usize, Step)> {
    let mut groups: Vec<(usize, Step)> = Vec::new();
    for (n, step) in steps {
        match (groups.last_mut(), step) {
            (Some((_, Step::Client(bytes))), Step::Client(more)) => bytes.extend_from_slice(more),
            _ => groups.push((*n, step.clone())),
        }
    }
    groups
}

fn run(transcript: &Transcript, cut: Cut) -> Result<()> {
    let config = match Config::from_text(&format!("host-name mx.example\n{}", transcript.config)) {
        Ok(config) => Arc::new(config),
        Err(errors) => bail!("{}: {errors:?}", transcript.name),
    };
    let mut session = Session::new(config, cut);
    let mut steps = grouped(&transcript.steps);
    if steps.first().is_some_and(|(_, step)| *step == Step::Early) {
        steps.remove(0);
    } else {
        session.server.greet(session.now);
        session.drive()?;
    }
    for (n, step) in steps {
        let at = || format!("{}:{n}, cut {cut:?}", transcript.name);
        session.run(&step).with_context(at)?;
    }
    ensure!(session.output.is_empty(), "{}: also {:?}", transcript.name, session.output);
    Ok(())
}

#[test]
fn the_machine_behaves_as_the_transcripts_say() -> Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts");
    let mut count = 0;
    let mut failures = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let transcript = Transcript::parse(&name, &std::fs::read_to_string(&path)?)?;
        let cuts = if transcript.once { &CUTS[..1] } else { &CUTS[..] };
        failures.extend(cuts.iter().find_map(|cut| run(&transcript, *cut).err()));
        count += 1;
    }
    let failures: Vec<String> = failures.iter().map(|failure| format!("{failure:#}")).collect();
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    ensure!(count > 30, "only {count} transcripts were found");
    Ok(())
}
