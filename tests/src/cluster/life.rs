//! What is done to nodes: killed, paused, stopped, started again, wiped and replaced.

use super::*;

impl Cluster {
    fn take(&mut self, number: u8, next: State) -> Result<Node> {
        let member = self.member_mut(number);
        match std::mem::replace(&mut member.state, next) {
            State::Running(node) | State::Paused(node) => Ok(node),
            other => {
                member.state = other;
                bail!("node {number} does not run")
            }
        }
    }

    /// SIGKILL; gives the moment at which it was sent.
    ///
    /// # Errors
    ///
    /// When the node does not run.
    pub async fn kill(&mut self, number: u8) -> Result<Instant> {
        let node = self.take(number, State::Down)?;
        let at = Instant::now();
        node.kill().await?;
        Ok(at)
    }

    /// SIGTERM, and waits for an orderly end.
    ///
    /// # Errors
    ///
    /// When the node does not run, or does not end in order.
    pub async fn terminate(&mut self, number: u8) -> Result<()> {
        self.take(number, State::Down)?.stop().await
    }

    /// SIGSTOP.
    ///
    /// # Errors
    ///
    /// When the node does not run.
    pub fn pause(&mut self, number: u8) -> Result<Instant> {
        let node = self.take(number, State::Down)?;
        let at = Instant::now();
        node.signal(Signal::STOP)?;
        self.member_mut(number).state = State::Paused(node);
        Ok(at)
    }

    /// SIGCONT.
    ///
    /// # Errors
    ///
    /// When the node is not paused.
    pub fn resume(&mut self, number: u8) -> Result<()> {
        let node = self.take(number, State::Down)?;
        node.signal(Signal::CONT)?;
        self.member_mut(number).state = State::Running(node);
        Ok(())
    }

    /// Starts a node that was killed or stopped.
    ///
    /// # Errors
    ///
    /// When it runs, is gone for good, or does not get ready.
    pub async fn restart(&mut self, number: u8) -> Result<()> {
        let down = matches!(self.member(number).state, State::Down);
        ensure!(down, "node {number} is not down");
        self.start(number).await
    }

    /// Waits until a node has ended by itself; gives how.
    ///
    /// # Errors
    ///
    /// When it runs on for a minute.
    pub async fn wait_ended(&mut self, number: u8) -> Result<std::process::ExitStatus> {
        let mut node = self.take(number, State::Down)?;
        let end = Instant::now() + Duration::from_secs(60);
        while Instant::now() < end {
            if let Some(status) = node.ended()? {
                return Ok(status);
            }
            sleep(PAUSE).await;
        }
        self.member_mut(number).state = State::Running(node);
        bail!("node {number} runs on")
    }

    /// Ends a node that the cluster has let go; it never comes back.
    ///
    /// # Errors
    ///
    /// When it does not run, or does not end in order.
    pub async fn retire(&mut self, number: u8) -> Result<()> {
        self.take(number, State::Gone)?.stop().await
    }

    /// Nodes that are to come back.
    #[must_use]
    pub fn all_down(&self) -> Vec<u8> {
        self.numbers(|state| matches!(state, State::Down))
    }

    /// The file system of a node.
    ///
    /// # Errors
    ///
    /// When it has none of its own.
    pub fn disk(&self, number: u8) -> Result<&SmallDisk> {
        self.member(number).disk.as_ref().context("the node has no disk of its own")
    }

    /// Changes the way between all nodes.
    ///
    /// # Errors
    ///
    /// When there are no proxies.
    pub fn set_way(&self, way: Way) -> Result<()> {
        ensure!(self.plan.proxies, "there are no proxies between the nodes");
        let proxies = self.members.iter().filter_map(|member| member.proxy.as_ref());
        proxies.for_each(|proxy| proxy.set(way));
        Ok(())
    }

    /// The configuration that all share.
    #[must_use]
    pub fn shared(&self) -> &str {
        &self.plan.shared
    }

    /// The process of a node.
    #[must_use]
    pub fn pid(&self, number: u8) -> Option<u32> {
        match &self.member(number).state {
            State::Running(node) | State::Paused(node) => node.pid(),
            State::Down | State::Gone => None,
        }
    }

    /// Has a node ended by itself? If so, it counts as down from now on.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn has_ended(&mut self, number: u8) -> Result<bool> {
        let mut node = self.take(number, State::Down)?;
        if node.ended()?.is_some() {
            return Ok(true);
        }
        self.member_mut(number).state = State::Running(node);
        Ok(false)
    }

    /// Removes the disk of a node that is down; it never comes back.
    ///
    /// # Errors
    ///
    /// When it runs, or its files cannot be removed.
    pub fn wipe(&mut self, number: u8) -> Result<()> {
        let member = self.member_mut(number);
        ensure!(matches!(member.state, State::Down), "node {number} is not down");
        member.state = State::Gone;
        std::fs::remove_dir_all(member.directory.join("spool"))?;
        Ok(())
    }

    /// Starts a new node in the place of one that is gone; gives its number.
    ///
    /// # Errors
    ///
    /// When the cluster gives no token for it, or it does not get ready.
    pub async fn replace(&mut self, gone: u8) -> Result<u8> {
        let id = self.member(gone).id.clone();
        let token = self.ask(&["cluster", "replace", &id]).await?;
        let token = token.lines().last().context("no token for the new node")?.trim().to_owned();
        self.join_with(&token).await
    }

    /// The ends of the nodes' logs, for a failure.
    #[must_use]
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for (number, member) in self.members.iter().enumerate() {
            for name in ["mtad.log", "stderr"] {
                let log = std::fs::read_to_string(member.directory.join(name)).unwrap_or_default();
                let end = last_lines(&log, 25);
                text += &format!("--- node {number} ({}), {name}:\n{end}\n", member.id);
            }
        }
        text
    }
}
