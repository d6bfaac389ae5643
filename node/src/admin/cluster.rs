//! `cluster init`, `cluster token` and `cluster operator`: limits on what is asked, and the rest
//! passed on to the owner.

use std::time::Duration;

use convoy_proto::admin as proto;
use tonic::Status;

use super::service::Ports;
use crate::id::{NodeId, Role};

/// The longest life of a join token: what lies around is used by the wrong one.
const TOKEN_MOST: Duration = Duration::from_secs(7 * 86_400);
/// The longest life of an operator's credentials: they cannot be taken back.
const CREDENTIALS_MOST: Duration = Duration::from_secs(825 * 86_400);
/// The longest name of an operator.
const NAME_MOST: usize = 64;

/// Makes a cluster of this node.
pub(super) async fn init(
    ports: &Ports,
    address: String,
) -> Result<proto::ClusterInitReply, Status> {
    let founded = ports.founding.init((!address.is_empty()).then_some(address)).await?;
    Ok(proto::ClusterInitReply {
        cluster: founded.cluster,
        node: ports.runtime.figures().node.0,
        address: founded.address,
    })
}

/// Makes a join token.
pub(super) async fn token(
    ports: &Ports,
    request: proto::ClusterTokenRequest,
) -> Result<proto::ClusterTokenReply, Status> {
    let ttl = ttl(request.ttl_ms, TOKEN_MOST)?;
    let replaces = (request.replaces != 0).then_some(NodeId(request.replaces));
    let pass = ports.founding.token(ttl, replaces).await?;
    tracing::info!("join token made by administrator, good until {}", pass.expires_at);
    Ok(proto::ClusterTokenReply {
        token: pass.text,
        expires_ms: pass.expires_at.0,
        address: ports.founding.address(),
    })
}

/// Makes credentials for an operator.
pub(super) fn operator(
    ports: &Ports,
    request: &proto::ClusterOperatorRequest,
) -> Result<proto::ClusterOperatorReply, Status> {
    let role = match request.role() {
        proto::Role::Monitor => Role::Monitor,
        proto::Role::Operator => Role::Operator,
        proto::Role::Admin => Role::Admin,
        proto::Role::Unspecified => {
            return Err(Status::invalid_argument("a role is monitor, operator or admin"));
        }
    };
    let name = request.name.as_str();
    if !is_name(name) {
        return Err(Status::invalid_argument(format!(
            "`{name}` cannot be an operator's name: it has 1 to {NAME_MOST} letters, digits and \
             .-_@"
        )));
    }
    let pass = ports.founding.operator(name, role, ttl(request.ttl_ms, CREDENTIALS_MOST)?)?;
    tracing::info!("credentials of {name} ({role}) made, good until {}", pass.expires_at);
    Ok(proto::ClusterOperatorReply { credentials: pass.text, expires_ms: pass.expires_at.0 })
}

/// Names stand in a URI in the certificate, and in logs.
fn is_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || ".-_@".contains(c);
    (1..=NAME_MOST).contains(&name.len()) && name.chars().all(good)
}

fn ttl(ms: u64, most: Duration) -> Result<Duration, Status> {
    let ttl = Duration::from_millis(ms);
    if ttl.is_zero() || ttl > most {
        let days = most.as_secs() / 86_400;
        return Err(Status::invalid_argument(format!(
            "--ttl must be more than nothing and at most {days}d"
        )));
    }
    Ok(ttl)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_into_certificates() {
        for (name, good) in [
            ("anna", true),
            ("anna@example.com", true),
            ("", false),
            ("a b", false),
            ("a/b", false),
            ("anna?role=admin", false),
            (&"x".repeat(65), false),
        ] {
            assert_eq!(is_name(name), good, "{name}");
        }
    }

    #[test]
    fn lives_are_bounded() {
        assert!(ttl(0, TOKEN_MOST).is_err());
        assert!(ttl(1, TOKEN_MOST).is_ok());
        assert!(ttl(u64::MAX, TOKEN_MOST).is_err());
    }
}
