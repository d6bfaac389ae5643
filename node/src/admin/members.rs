//! `cluster status` and the commands that change members: what all nodes said, put together.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use convoy_proto::admin as proto;
use tonic::Status;

use super::service::{Ports, refused};
use super::spread::{self, Scope};
use super::survive::{has_majority, survival};
use crate::id::{GroupId, NodeId};
use crate::queue::cluster::{Cluster, Member, Placement, REPLICAS, Standing};
use crate::queue::model::GroupFigures;

/// A group as one of its replicas sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub group: GroupId,
    pub term: u64,
    pub leader: Option<NodeId>,
    pub voters: BTreeSet<NodeId>,
    pub learners: BTreeSet<NodeId>,
    pub last: u64,
    pub applied: u64,
}

impl From<&GroupFigures> for Seen {
    fn from(figures: &GroupFigures) -> Self {
        Self {
            group: figures.group,
            term: figures.term,
            leader: figures.leader,
            voters: figures.voters.clone(),
            learners: figures.learners.clone(),
            last: figures.last,
            applied: figures.applied,
        }
    }
}

/// What the nodes that answered see.
pub(super) type Views = BTreeMap<NodeId, Vec<Seen>>;

/// Asks all nodes for their groups.
pub(super) async fn views(ports: &Ports, scope: Scope) -> (Views, Vec<proto::Missing>) {
    let others = spread::ask(ports, scope, spread::DEADLINE, |mut peer| async move {
        Ok(peer.cluster_status(proto::ClusterStatusRequest {}).await?.into_inner())
    });
    let (others, missing) = others.await;
    let own = ports.cluster.groups().iter().map(Seen::from).collect();
    let mut views = Views::from([(ports.cluster.me(), own)]);
    for (node, reply) in others {
        views.insert(node, reply.views.into_iter().map(read_view).collect());
    }
    (views, missing)
}

/// `cluster status`.
pub(super) async fn status(ports: &Ports, scope: Scope) -> proto::ClusterStatusReply {
    let me = ports.cluster.me();
    if scope == Scope::Here {
        let views = ports.cluster.groups().iter().map(|one| view(&one.into())).collect();
        return proto::ClusterStatusReply { me: me.0, views, ..Default::default() };
    }
    let (views, missing) = views(ports, scope).await;
    let mut cluster = Cluster::clone(&ports.cluster.cluster());
    if cluster.members.is_empty() {
        let node = ports.runtime.figures();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let alone = Member { name: node.host_name, version, ..Member::default() };
        cluster.members.insert(me, alone);
    }
    overview(me, &cluster, &views, missing)
}

/// Puts together what is known of members and groups. Pure.
fn overview(
    me: NodeId,
    cluster: &Cluster,
    views: &Views,
    missing: Vec<proto::Missing>,
) -> proto::ClusterStatusReply {
    let groups = groups(views);
    let reachable: BTreeSet<NodeId> = views.keys().copied().collect();
    let voters = groups.values().map(|(leading, _)| std::slice::from_ref(&leading.voters));
    let survival = survival(voters, &reachable);
    let factor = groups.values().map(|(leading, _)| leading.voters.len()).min();
    let warnings = warnings(cluster, &groups, &reachable);
    proto::ClusterStatusReply {
        cluster: cluster.identity.as_ref().map(|i| i.id.clone()).unwrap_or_default(),
        me: me.0,
        members: members(cluster, &groups, &missing),
        groups: groups.values().map(|(leading, of)| group(cluster, leading, of)).collect(),
        replication_factor: factor.map_or(0, |factor| u32::try_from(factor).unwrap_or(u32::MAX)),
        can_lose_any: survival.any,
        can_lose: survival.single.iter().map(|node| node.0).collect(),
        warnings,
        missing,
        views: Vec::new(),
    }
}

/// Of each group, the view that counts (the leader's, else the newest), and that of every node.
type Groups<'a> = BTreeMap<GroupId, OfGroup<'a>>;
type OfGroup<'a> = (&'a Seen, BTreeMap<NodeId, &'a Seen>);

fn groups(views: &Views) -> Groups<'_> {
    let mut groups = Groups::new();
    for (node, seen) in views {
        for one in seen {
            let (_, of) = groups.entry(one.group).or_insert((one, BTreeMap::new()));
            of.insert(*node, one);
        }
    }
    for (best, of) in groups.values_mut() {
        let rank = |(node, view): &(&NodeId, &&Seen)| {
            (view.leader == Some(**node), view.term, view.applied)
        };
        if let Some((_, newest)) = of.iter().max_by_key(rank) {
            *best = newest;
        }
    }
    groups
}

/// The leader: the one that says so of itself.
fn leader(of: &BTreeMap<NodeId, &Seen>) -> Option<NodeId> {
    let leads = of.iter().filter(|(node, view)| view.leader == Some(**node));
    leads.max_by_key(|(_, view)| view.term).map(|(node, _)| *node)
}

fn replicas(view: &Seen) -> BTreeSet<NodeId> {
    view.voters.union(&view.learners).copied().collect()
}

fn group(cluster: &Cluster, leading: &Seen, of: &BTreeMap<NodeId, &Seen>) -> proto::ClusterGroup {
    let replica = |node: NodeId| {
        let seen = of.get(&node);
        proto::GroupReplica {
            node: node.0,
            reachable: seen.is_some(),
            last: seen.map_or(0, |view| view.last),
            applied: seen.map_or(0, |view| view.applied),
            lag: seen.map_or(0, |view| leading.last.saturating_sub(view.last)),
        }
    };
    let ids = |nodes: &[NodeId]| nodes.iter().map(|node| node.0).collect();
    let placed = cluster.placement.get(&leading.group).cloned().unwrap_or_default();
    proto::ClusterGroup {
        name: leading.group.to_string(),
        leader: leader(of).map_or(0, |node| node.0),
        term: leading.term,
        voters: leading.voters.iter().map(|node| node.0).collect(),
        learners: leading.learners.iter().map(|node| node.0).collect(),
        last: leading.last,
        applied: leading.applied,
        replicas: replicas(leading).into_iter().map(replica).collect(),
        placed_voters: ids(&placed.voters),
        placed_learners: ids(&placed.learners),
    }
}

fn members(
    cluster: &Cluster,
    groups: &Groups<'_>,
    missing: &[proto::Missing],
) -> Vec<proto::ClusterMember> {
    let count = |counted: &dyn Fn(&OfGroup<'_>) -> bool| {
        u32::try_from(groups.values().filter(|group| counted(group)).count()).unwrap_or(u32::MAX)
    };
    let member = |(node, member): (&NodeId, &Member)| {
        let gone = missing.iter().find(|gone| gone.node == node.0);
        proto::ClusterMember {
            node: node.0,
            name: member.name.clone(),
            address: member.address.clone(),
            standing: wire_standing(member.standing).into(),
            version: member.version.clone(),
            level: member.level,
            reachable: gone.is_none(),
            unreachable: gone.map(|gone| gone.reason.clone()).unwrap_or_default(),
            configuration_version: member.configuration_version,
            configuration_refused: member.configuration_refused.clone(),
            egress_addresses: member.egress_addresses.iter().map(ToString::to_string).collect(),
            replaces: member.replaces.map_or(0, |node| node.0),
            leads: count(&|(_, of)| leader(of) == Some(*node)),
            replicas: count(&|(leading, _)| replicas(leading).contains(node)),
        }
    };
    cluster.members.iter().map(member).collect()
}

fn warnings(cluster: &Cluster, groups: &Groups<'_>, reachable: &BTreeSet<NodeId>) -> Vec<String> {
    let mut warnings = Vec::new();
    for (id, (leading, of)) in groups {
        if !has_majority(&leading.voters, reachable) {
            warnings.push(format!("{id} has no majority: what it holds waits"));
        } else if leader(of).is_none() {
            warnings.push(format!("{id} has no leader"));
        }
        if let Some(placed) = cluster.placement.get(id)
            && !is_placed(leading, placed)
        {
            let to = names(placed.voters.iter().chain(&placed.learners));
            warnings.push(format!("{id} is not yet where it should be: on {to}"));
        }
    }
    let active = cluster.configuration.as_ref().map_or(0, |c| c.version);
    for (node, member) in &cluster.members {
        if !member.configuration_refused.is_empty() {
            let why = &member.configuration_refused;
            warnings.push(format!("{node} does not run with version {active}: {why}"));
        }
        if member.standing == Standing::Removing {
            warnings.push(format!("{node} is being removed: its replicas are on their way"));
        }
    }
    warnings
}

fn is_placed(view: &Seen, placed: &Placement) -> bool {
    let voters: BTreeSet<NodeId> = placed.voters.iter().copied().collect();
    let learners: BTreeSet<NodeId> = placed.learners.iter().copied().collect();
    view.voters == voters && view.learners == learners
}

fn names<'a>(nodes: impl Iterator<Item = &'a NodeId>) -> String {
    nodes.map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// `cluster drain`, `undrain` and `remove`.
pub(super) async fn set_standing(
    ports: &Ports,
    request: &proto::SetStandingRequest,
) -> Result<proto::SetStandingReply, Status> {
    let node = NodeId(request.node);
    let standing = match request.standing() {
        proto::MemberStanding::Unspecified => return Err(refused("say which standing")),
        proto::MemberStanding::MemberActive => Standing::Active,
        proto::MemberStanding::MemberDraining => Standing::Draining,
        proto::MemberStanding::MemberRemoving => Standing::Removing,
    };
    known(&ports.cluster.cluster(), node)?;
    if standing == Standing::Removing && !request.yes {
        let (views, _) = views(ports, Scope::Everywhere).await;
        let objections = objections(&ports.cluster.cluster(), &views, node);
        if !objections.is_empty() {
            return Ok(proto::SetStandingReply { objections });
        }
    }
    ports.cluster.set_standing(node, standing).await?;
    tracing::info!("{node} is set to {standing:?} by administrator");
    Ok(proto::SetStandingReply::default())
}

fn known(cluster: &Cluster, node: NodeId) -> Result<(), Status> {
    if cluster.identity.is_none() {
        return Err(Status::failed_precondition(
            "this node is no member of a cluster: see mtactl cluster init",
        ));
    }
    if !cluster.members.contains_key(&node) {
        let members = names(cluster.members.keys());
        return Err(Status::not_found(format!("there is no {node}; the members are {members}")));
    }
    Ok(())
}

/// Why it may be unwise to remove a node. Pure.
fn objections(cluster: &Cluster, views: &Views, node: NodeId) -> Vec<String> {
    let mut reachable: BTreeSet<NodeId> = views.keys().copied().collect();
    reachable.remove(&node);
    let mut objections = Vec::new();
    for (id, (leading, _)) in groups(views) {
        let all = replicas(leading);
        if !all.contains(&node) {
            continue;
        }
        let others: Vec<&NodeId> = all.iter().filter(|other| reachable.contains(other)).collect();
        if others.is_empty() {
            objections.push(format!(
                "{node} has the last replica of {id} that can be reached: without it, what {id} \
                 holds is lost"
            ));
        } else if !has_majority(&leading.voters, &reachable) {
            objections.push(format!(
                "without {node}, {id} has no majority ({} left): it stands still until {node} has \
                 handed its replica over, and for good if it cannot",
                names(others.into_iter())
            ));
        }
    }
    let staying = cluster
        .members
        .iter()
        .filter(|(id, member)| **id != node && member.standing != Standing::Removing);
    let left = staying.count();
    if left < REPLICAS {
        objections.push(format!(
            "{left} node(s) are left: groups have {left} replica(s) instead of {REPLICAS}"
        ));
    }
    objections
}

/// How long sessions may take to finish before leadership goes over.
const HAND_OVER: Duration = Duration::from_secs(45);

/// `cluster transfer`: passed on to the node that leads the group.
pub(super) async fn transfer(
    ports: &Ports,
    scope: Scope,
    request: &proto::TransferGroupRequest,
) -> Result<proto::TransferGroupReply, Status> {
    let (node, me) = (NodeId(request.node), ports.cluster.me());
    known(&ports.cluster.cluster(), node)?;
    let groups = ports.cluster.groups();
    let Some(group) = groups.iter().find(|one| one.group.to_string() == request.group) else {
        let all: Vec<_> = groups.iter().map(|one| one.group.to_string()).collect();
        let text = format!("there is no group {}; there are {}", request.group, all.join(" "));
        return Err(Status::not_found(text));
    };
    if let Some(leader) = group.leader.filter(|leader| *leader != me)
        && scope == Scope::Everywhere
    {
        let asked = spread::ask_some(
            ports,
            HAND_OVER,
            |node| node == leader,
            |mut peer| {
                let request = request.clone();
                async move { peer.transfer_group(request).await }
            },
        );
        let (done, missing) = asked.await;
        return match (done.is_empty(), missing.first()) {
            (false, _) => Ok(proto::TransferGroupReply {}),
            (true, Some(gone)) => Err(Status::unavailable(format!(
                "{leader} leads {} and does not hand it over: {}",
                group.group, gone.reason
            ))),
            (true, None) => Err(Status::unavailable(format!("{leader} is not known"))),
        };
    }
    ports.cluster.transfer(group.group, node).await?;
    tracing::info!("{} is led by {node} by order of administrator", group.group);
    Ok(proto::TransferGroupReply {})
}

/// `cluster balance`: every node gives way where another one should lead.
pub(super) async fn balance(ports: &Ports, scope: Scope) -> Result<proto::BalanceReply, Status> {
    let others = spread::ask(ports, scope, HAND_OVER, |mut peer| async move {
        Ok(peer.balance(proto::BalanceRequest {}).await?.into_inner().moved)
    });
    let (own, (others, missing)) = tokio::join!(ports.cluster.balance(), others);
    let moved = own? + others.into_iter().map(|(_, moved)| moved).sum::<u64>();
    Ok(proto::BalanceReply { moved, missing })
}

const fn wire_standing(standing: Standing) -> proto::MemberStanding {
    match standing {
        Standing::Active => proto::MemberStanding::MemberActive,
        Standing::Draining => proto::MemberStanding::MemberDraining,
        Standing::Removing => proto::MemberStanding::MemberRemoving,
    }
}

fn view(figures: &Seen) -> proto::GroupView {
    proto::GroupView {
        group: figures.group.0,
        term: figures.term,
        leader: figures.leader.map_or(0, |node| node.0),
        voters: figures.voters.iter().map(|node| node.0).collect(),
        learners: figures.learners.iter().map(|node| node.0).collect(),
        last: figures.last,
        applied: figures.applied,
    }
}

fn read_view(view: proto::GroupView) -> Seen {
    let nodes = |ids: Vec<u64>| ids.into_iter().map(NodeId).collect();
    Seen {
        group: GroupId(view.group),
        term: view.term,
        leader: (view.leader > 0).then_some(NodeId(view.leader)),
        voters: nodes(view.voters),
        learners: nodes(view.learners),
        last: view.last,
        applied: view.applied,
    }
}

#[cfg(test)]
#[path = "members_test.rs"]
mod tests;
