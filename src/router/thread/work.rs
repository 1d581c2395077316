//! [`Work`]: counts the work of a connection's turn, so that no turn takes long, and notes the longest turns.

/// Nodes of the subscriptions and of the retained messages that a connection may visit in one turn, if it does nothing
/// else: that takes about a millisecond. The rest follows in its next turn.
///
/// A turn may exceed it by work that is too small to be interrupted: see [`WHOLE_MATCH`] and [`WHOLE_FANOUT`].
pub const NODES_A_TURN: u32 = 8_192;

/// Sessions that a connection may deliver messages to in one turn, if it does nothing else.
pub const DELIVERIES_A_TURN: u32 = NODES_A_TURN * NODE;

/// The cost of a node and of a packet, in deliveries.
const NODE: u32 = 4;
const PACKET: u32 = 2;

/// A match of up to this many nodes is done in one step. A larger one is given up, after at most three times as many,
/// and started again in steps.
pub const WHOLE_MATCH: usize = 1_024;

/// A message for up to this many sessions is delivered in one step.
pub const WHOLE_FANOUT: usize = 256;

/// Smaller turns are not noted, so they need no look at the clock.
const TOLD: u32 = DELIVERIES_A_TURN / 8;

/// The work of a turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    /// Visited nodes of the subscriptions and of the retained messages.
    nodes: u32,
    /// Sessions that messages were delivered to.
    deliveries: u32,
    packets: u32,
}

impl Work {
    /// Is the turn over, after this many more packets?
    #[inline]
    pub fn is_spent(&self, packets: u64) -> bool {
        u64::from(self.cost()) + packets * u64::from(PACKET) >= u64::from(DELIVERIES_A_TURN)
    }

    /// Nodes that may be visited in the rest of the turn.
    pub fn nodes_left(&self) -> u32 {
        self.deliveries_left().div_ceil(NODE)
    }

    /// Deliveries that are left in the turn.
    pub fn deliveries_left(&self) -> u32 {
        DELIVERIES_A_TURN.saturating_sub(self.cost())
    }

    /// Counts handled packets.
    #[inline]
    pub fn add_packets(&mut self, packets: u64) {
        self.packets = self.packets.saturating_add(packets as u32);
    }

    /// Counts visited nodes.
    #[inline]
    pub(crate) fn add_nodes(&mut self, nodes: usize) {
        self.nodes = self.nodes.saturating_add(nodes as u32);
    }

    /// Counts a message that was delivered to several sessions, or several messages to one.
    #[inline]
    pub(crate) fn add_deliveries(&mut self, deliveries: usize) {
        self.deliveries = self.deliveries.saturating_add(deliveries as u32);
    }

    /// Ends the turn: its rest is too short for the next step.
    pub(crate) fn spend(&mut self) {
        self.packets = DELIVERIES_A_TURN;
    }

    /// A turn with this many nodes left.
    #[cfg(test)]
    pub(crate) fn with_left(nodes: u32) -> Self {
        Self { packets: (DELIVERIES_A_TURN - nodes * NODE) / PACKET, ..Self::default() }
    }

    /// Is it large enough to be noted?
    #[inline]
    pub fn is_told(&self) -> bool {
        self.cost() >= TOLD
    }

    /// Nodes and deliveries.
    pub(crate) fn done(&self) -> (u32, u32) {
        (self.nodes, self.deliveries)
    }

    #[inline]
    fn cost(&self) -> u32 {
        let (nodes, packets) = (self.nodes.saturating_mul(NODE), self.packets.saturating_mul(PACKET));
        nodes.saturating_add(packets).saturating_add(self.deliveries)
    }
}
