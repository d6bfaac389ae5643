//! Who calls: by name, for what is to be remembered, and whether they may see passwords.

use tonic::transport::server::UdsConnectInfo;
use tonic::{Request, Status};

use crate::id::{Peer, Role};

/// Names of local users.
const USERS: &str = "/etc/passwd";

/// The caller's name: of the certificate, or the local user at the other end of the Unix socket.
pub(super) async fn name<T>(request: &Request<T>) -> String {
    if let Some(peer) = request.extensions().get::<Peer>() {
        return match peer {
            Peer::Operator { name, .. } => name.clone(),
            Peer::Node(node) => node.to_string(),
        };
    }
    let socket = request.extensions().get::<UdsConnectInfo>();
    let Some(user) = socket.and_then(|info| info.peer_cred).map(|user| user.uid()) else {
        return "unknown".to_owned();
    };
    let users = tokio::fs::read_to_string(USERS).await.unwrap_or_default();
    user_name(&users, user).unwrap_or_else(|| format!("uid {user}"))
}

/// Refuses to show passwords to operators who are no administrators. Whoever may open the Unix
/// socket may see everything.
pub(super) fn may_see_secrets<T>(request: &Request<T>) -> Result<(), Status> {
    match request.extensions().get::<Peer>() {
        Some(Peer::Operator { role, .. }) if *role < Role::Admin => Err(Status::permission_denied(
            format!("passwords are shown to the role {} only: leave --secrets out", Role::Admin),
        )),
        Some(Peer::Operator { .. } | Peer::Node(_)) | None => Ok(()),
    }
}

/// `NAME:PASSWORD:UID:...` a line.
fn user_name(users: &str, id: u32) -> Option<String> {
    let id = id.to_string();
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1) == Some(id.as_str())).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_user_is_known_by_name() {
        let users = "root:x:0:0::/root:/bin/sh\nbroken\nmail:x:8:8:mail\n";
        assert_eq!(user_name(users, 0).as_deref(), Some("root"));
        assert_eq!(user_name(users, 8).as_deref(), Some("mail"));
        assert_eq!(user_name(users, 80), None);
    }

    #[tokio::test]
    async fn an_operator_is_known_by_certificate_and_sees_what_the_role_allows() {
        let mut request = Request::new(());
        assert_eq!(name(&request).await, "unknown");
        assert!(may_see_secrets(&request).is_ok());
        for (role, may) in [(Role::Monitor, false), (Role::Operator, false), (Role::Admin, true)] {
            request.extensions_mut().insert(Peer::Operator { name: "anna".into(), role });
            assert_eq!(name(&request).await, "anna");
            assert_eq!(may_see_secrets(&request).is_ok(), may, "{role}");
        }
    }
}
