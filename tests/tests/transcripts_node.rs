//! The transcripts again, against real nodes: sockets, handshakes, and messages that arrive.
//!
//! Those that set the time or the store's answers are left to `transcripts.rs`. Transcripts with
//! the same configuration share a node; everything that it accepts is delivered into files.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use convoy_node::id::MessageId;
use convoy_node::smtp::sasl;
use convoy_tests::certificates::{self, Authority};
use convoy_tests::client::Stream;
use convoy_tests::node::{Node, base_config, eventually};
use convoy_tests::transcript::{Step, Transcript};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Nodes at the same time.
const PARALLEL: usize = 4;
/// An answer takes no longer; failed authentications are held back for seconds.
const PATIENCE: Duration = Duration::from_secs(30);
/// The server reads before it greets, and the bytes have to be there by then.
const EARLY_ATTEMPTS: usize = 200;
const ACCEPTED: &str = "250 2.6.0 message received";

/// A node and what it has accepted.
struct Place {
    node: Node,
    authority: Authority,
    robot: certificates::Identity,
    accepted: usize,
    known: HashSet<PathBuf>,
}

struct Session {
    stream: BufReader<Box<dyn Stream>>,
    piece_len: usize,
    last_line: String,
    accepted: usize,
    closed: bool,
}

impl Place {
    async fn start(directory: &Path, config: &str) -> Result<Self> {
        let authority = Authority::new("transcripts")?;
        let robot = authority.issue(&["robot"])?;
        let robot_path = robot.write(&directory.join("robot.pem"))?;
        let server_path = directory.join("server.pem");
        authority.issue(&["mx.example"])?.write(&server_path)?;
        let config = config.replace("/nonexistent/robot.pem", &robot_path.display().to_string());
        let base = base_config(directory).replace("mta.example", "mx.example");
        let text = format!(
            "{base}smtp-listener 127.0.0.1:0\nsmtp-server-tls-certificate {}\n{config}\
             <source 127.0.0.1>\n add-received-header no\n</source>\n\
             <domain *>\n type file\n file-destination {}/out\n file-format newfile-plain\n\
             </domain>\n<acct-file acct.csv>\n</acct-file>\n",
            server_path.display(),
            directory.display(),
        );
        std::fs::write(directory.join("config"), text)?;
        let node = Node::restart(directory).await?;
        Ok(Self { node, authority, robot, accepted: 0, known: HashSet::new() })
    }

    /// One file per recipient; their names begin with the message's id.
    fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.node.directory.join("out")).into_iter().flatten();
        let paths = entries.flatten().map(|entry| entry.path());
        // Those that begin with a dot are being written.
        let whole = |path: &PathBuf| {
            !path.file_name().unwrap_or_default().to_string_lossy().starts_with('.')
        };
        paths.filter(whole).collect()
    }

    fn messages(&self) -> usize {
        let id = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.split('-').next().unwrap_or_default().to_owned()
        };
        self.files().iter().map(id).collect::<HashSet<_>>().len()
    }

    async fn settled(&self, accepted: usize) -> Result<()> {
        let what = format!("{accepted} messages");
        eventually(&what, async || (self.messages() >= accepted).then_some(())).await?;
        let texts: Vec<_> = self.files().iter().filter_map(|p| std::fs::read(p).ok()).collect();
        let shown = || String::from_utf8_lossy(&texts.join(&b"\n---\n"[..])).into_owned();
        ensure!(self.messages() == accepted, "not {accepted} messages:\n{}", shown());
        Ok(())
    }

    async fn run(&mut self, transcript: &Transcript, piece_len: usize) -> Result<()> {
        let address = self.node.listeners[0];
        let mut steps = &transcript.steps[..];
        let mut session = match steps {
            [(_, Step::Early), (_, Step::Client(bytes)), (_, Step::Server(answer)), rest @ ..] => {
                steps = rest;
                Session::early(address, bytes, answer).await?
            }
            _ => Session::new(TcpStream::connect(address).await?, piece_len)?,
        };
        for (n, step) in grouped(steps) {
            let at = || format!("{}:{n}, pieces of {piece_len}", transcript.name);
            self.step(&mut session, &step).await.with_context(at)?;
        }
        self.accepted += session.accepted;
        session.end().await.with_context(|| transcript.name.clone())
    }

    async fn step(&mut self, session: &mut Session, step: &Step) -> Result<()> {
        match step {
            Step::Client(bytes) => session.send(bytes).await,
            Step::Server(text) => {
                let line = session.line().await?;
                ensure!(line == *text, "answered {line:?}; wanted {text:?}");
                Ok(())
            }
            Step::ServerLike(pattern) => {
                let line = session.line().await?;
                let good = regex::Regex::new(pattern)?.is_match(&line);
                ensure!(good, "answered {line:?}; wanted {pattern:?}");
                Ok(())
            }
            Step::Tls(user) => {
                let identity = user.as_ref().map(|_| &self.robot);
                session.start_tls(&self.authority, identity).await
            }
            Step::CramMd5 { user, password } => {
                let challenge = session.last_line.strip_prefix("334 ").context("no challenge")?;
                let challenge = sasl::decode(challenge).context("not base64")?;
                let digest = sasl::cram_md5_digest(password, std::str::from_utf8(&challenge)?);
                let response = sasl::encode(&format!("{user} {digest}"));
                session.send(format!("{response}\r\n").as_bytes()).await
            }
            Step::Messages(count) => {
                ensure!(session.accepted == *count, "{} were accepted", session.accepted);
                self.settled(self.accepted + count).await
            }
            Step::Body(text) => {
                self.settled(self.accepted + session.accepted).await?;
                let mut fresh = self.files();
                fresh.retain(|path| self.known.insert(path.clone()));
                let bodies: Vec<_> = fresh.iter().filter_map(|p| std::fs::read(p).ok()).collect();
                let lossy = |body: &Vec<u8>| String::from_utf8_lossy(body).into_owned();
                let shown: Vec<String> = bodies.iter().map(lossy).collect();
                ensure!(bodies.contains(text), "stored {shown:?}");
                Ok(())
            }
            Step::Closed => session.expect_close().await,
            Step::Early => bail!("@early must be followed by a line and its answer"),
            Step::Wait(_) | Step::Overload(_) | Step::Shed | Step::Refuse(_) | Step::Drain => {
                bail!("this step needs a double")
            }
        }
    }
}

impl Session {
    fn new(stream: TcpStream, piece_len: usize) -> Result<Self> {
        stream.set_nodelay(true)?;
        let stream = BufReader::new(Box::new(stream) as Box<dyn Stream>);
        let last_line = String::new();
        Ok(Self { stream, piece_len, last_line, accepted: 0, closed: false })
    }

    /// Speaks before the server does, which takes more than one try.
    async fn early(address: SocketAddr, bytes: &[u8], answer: &str) -> Result<Self> {
        for _ in 0..EARLY_ATTEMPTS {
            let mut stream = std::net::TcpStream::connect(address)?;
            std::io::Write::write_all(&mut stream, bytes)?;
            stream.set_nonblocking(true)?;
            let mut session = Self::new(TcpStream::from_std(stream)?, usize::MAX)?;
            let line = session.line().await?;
            if line == answer {
                return Ok(session);
            }
            ensure!(line.starts_with("220 "), "answered {line:?}; wanted {answer:?}");
        }
        bail!("the server never heard the client before it greeted")
    }

    /// A server that has hung up need not take all.
    async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(self.piece_len) {
            let sent = async {
                self.stream.write_all(piece).await?;
                self.stream.flush().await
            };
            match tokio::time::timeout(PATIENCE, sent).await.context("nothing was taken")? {
                Ok(()) => {}
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    async fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line);
        let read = tokio::time::timeout(PATIENCE, read).await.context("no answer")??;
        ensure!(read > 0, "the connection was closed");
        let line = line.strip_suffix("\r\n").context("a line without CRLF")?;
        ensure!(!line.contains(char::is_control), "a control in {line:?}");
        // The id differs in every run; the transcripts are written without it.
        let line = match line.strip_prefix(ACCEPTED).and_then(|rest| rest.strip_prefix(" as ")) {
            Some(id) => {
                id.parse::<MessageId>().with_context(|| line.to_owned())?;
                self.accepted += 1;
                ACCEPTED
            }
            None => line,
        };
        line.clone_into(&mut self.last_line);
        Ok(line.to_owned())
    }

    async fn start_tls(
        &mut self,
        authority: &Authority,
        identity: Option<&certificates::Identity>,
    ) -> Result<()> {
        ensure!(self.stream.buffer().is_empty(), "more came before the handshake");
        let (unused, _) = tokio::io::duplex(1);
        let unused = BufReader::new(Box::new(unused) as Box<dyn Stream>);
        let inner = std::mem::replace(&mut self.stream, unused).into_inner();
        let config = match identity {
            None => certificates::client_config(&authority.pem())?,
            Some(identity) => identity.client_config(&authority.pem())?,
        };
        let name = rustls::pki_types::ServerName::try_from("mx.example")?;
        let handshake = TlsConnector::from(config).connect(name, inner);
        let stream = tokio::time::timeout(PATIENCE, handshake).await.context("no handshake")??;
        self.stream = BufReader::new(Box::new(stream));
        Ok(())
    }

    async fn expect_close(&mut self) -> Result<()> {
        let mut rest = Vec::new();
        let read = self.stream.read_to_end(&mut rest);
        // A reset is a close, too: the client has sent what nobody wanted to read.
        let _ = tokio::time::timeout(PATIENCE, read).await.context("the connection is open")?;
        ensure!(rest.is_empty(), "also answered {:?}", String::from_utf8_lossy(&rest));
        self.closed = true;
        Ok(())
    }

    /// Hangs up; nothing may have been said that the transcript does not tell.
    async fn end(mut self) -> Result<()> {
        if self.closed {
            return Ok(());
        }
        // Fails when the server was faster.
        let _ = self.stream.shutdown().await;
        self.expect_close().await
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

/// Failed authentications are answered slowly: a transcript full of them takes long enough once.
fn is_held_back(transcript: &Transcript) -> bool {
    let failed = |step: &Step| matches!(step, Step::Server(text) if text.starts_with("535 "));
    transcript.steps.iter().filter(|(_, step)| failed(step)).count() > 3
}

/// All transcripts of one configuration; gives what failed.
async fn play(config: String, transcripts: Vec<Transcript>) -> Result<Vec<String>> {
    let directory = TempDir::new()?;
    let mut place = Place::start(directory.path(), &config).await?;
    let mut failures = Vec::new();
    for transcript in transcripts {
        let once = transcript.once || is_held_back(&transcript);
        let cuts: &[usize] = if once { &[usize::MAX] } else { &[usize::MAX, 5] };
        for cut in cuts {
            if let Err(failure) = place.run(&transcript, *cut).await {
                failures.push(format!("{failure:#}"));
                break;
            }
        }
    }
    if failures.is_empty() {
        let names = || format!("at the end of {}", config.trim());
        place.settled(place.accepted).await.with_context(names)?;
        let Place { node, .. } = place;
        node.stop().await?;
    }
    Ok(failures)
}

async fn play_all(by_config: BTreeMap<String, Vec<Transcript>>) -> Result<Vec<String>> {
    let mut running = tokio::task::JoinSet::new();
    let mut failures = Vec::new();
    for (config, transcripts) in by_config {
        if running.len() == PARALLEL {
            failures.extend(running.join_next().await.context("no node ran")???);
        }
        running.spawn_local(play(config, transcripts));
    }
    while let Some(ended) = running.join_next().await {
        failures.extend(ended??);
    }
    Ok(failures)
}

#[tokio::test]
async fn a_node_behaves_as_the_transcripts_say() -> Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts");
    let mut by_config: BTreeMap<String, Vec<Transcript>> = BTreeMap::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let transcript = Transcript::parse(&name, &std::fs::read_to_string(&path)?)?;
        if !transcript.needs_a_double() {
            by_config.entry(transcript.config.clone()).or_default().push(transcript);
        }
    }
    let count: usize = by_config.values().map(Vec::len).sum();
    ensure!(count > 60, "only {count} transcripts were found");
    let failures = tokio::task::LocalSet::new().run_until(play_all(by_config)).await?;
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}
