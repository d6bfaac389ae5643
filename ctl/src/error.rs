//! What can go wrong, and the exit code that says so to scripts.

use std::io;
use std::process::ExitCode;

use tonic::{Code, Status};

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Nobody answers on the socket or the cluster listener.
    #[error("cannot reach mtad at {place}: {reason}")]
    Unreachable { place: String, reason: String },
    /// The node answered with an error.
    #[error("{}", explain(.0))]
    Refused(Box<Status>),
    /// The node did its part and found something wrong; the findings are printed already.
    #[error("{0}")]
    Found(String),
    /// Something on this side.
    #[error("{0}")]
    Local(String),
    /// Standard output was closed: whoever reads has enough.
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

impl Error {
    /// The exit code that `mtactl --help` promises.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Unreachable { .. } => ExitCode::from(3),
            Self::Refused(_) | Self::Found(_) | Self::Local(_) => ExitCode::from(1),
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Self::Output(_) => ExitCode::from(1),
        }
    }
}

/// Did the connection end before the node had answered? The library's words for it say nothing.
fn broke(status: &Status) -> bool {
    let silent = status.code() == Code::Unavailable && status.message().is_empty();
    silent || matches!(status.message(), "transport error" | "the connection broke")
}

/// What a status means to an operator.
fn explain(status: &Status) -> String {
    match status.code() {
        Code::Unimplemented => "this mtad does not know the command: it is older than mtactl; \
                                compare `mtactl show version` and `mtactl --version`"
            .to_owned(),
        _ if broke(status) => {
            "the connection to mtad broke: look at its log and try again".to_owned()
        }
        _ => status.message().to_owned(),
    }
}
