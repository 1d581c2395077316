//! [`Work`]: counts the work of a connection's turn, so that no turn takes long, and notes the longest turns.

/// Nodes of the subscriptions and of the retained messages that a connection may visit in one turn, if it does nothing
/// else: that takes about a millisecond. What it has left to do after that is for its next turn.
///
/// A turn goes beyond it by what is not worth to be left: see [`WHOLE_MATCH`] and [`WHOLE_FANOUT`].
pub const NODES_A_TURN: u32 = 8_192;

/// Sessions that a connection may hand messages to in one turn, if it does nothing else.
pub const DELIVERIES_A_TURN: u32 = NODES_A_TURN * NODE;

/// What a node costs, and a packet, where a delivery costs one.
const NODE: u32 = 4;
const PACKET: u32 = 2;

/// A match that visits up to this many nodes is done in one go; one that visits more is given up, at three times as
/// many at most, and begun again in steps.
pub const WHOLE_MATCH: usize = 1_024;

/// A message to as many sessions is delivered in one go.
pub const WHOLE_FANOUT: usize = 256;

/// Turns that cost less are not told: they cost no look at the clock.
const TOLD: u32 = DELIVERIES_A_TURN / 8;

/// What was done in a turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    /// Nodes of the subscriptions and of the retained messages that were visited.
    nodes: u32,
    /// Sessions that messages were handed to.
    deliveries: u32,
    packets: u32,
}

impl Work {
    /// Is the turn over, with so many packets more?
    #[inline]
    pub fn is_spent(&self, packets: u64) -> bool {
        u64::from(self.cost()) + packets * u64::from(PACKET) >= u64::from(DELIVERIES_A_TURN)
    }

    /// Nodes that may be visited in the rest of the turn.
    pub fn nodes_left(&self) -> u32 {
        self.deliveries_left().div_ceil(NODE)
    }

    /// Messages that may be delivered in the rest of the turn.
    pub fn deliveries_left(&self) -> u32 {
        DELIVERIES_A_TURN.saturating_sub(self.cost())
    }

    /// Packets were handled.
    #[inline]
    pub fn add_packets(&mut self, packets: u64) {
        self.packets = self.packets.saturating_add(packets as u32);
    }

    /// Nodes were visited.
    #[inline]
    pub(crate) fn add_nodes(&mut self, nodes: usize) {
        self.nodes = self.nodes.saturating_add(nodes as u32);
    }

    /// A message was handed to so many sessions, or so many messages to one.
    #[inline]
    pub(crate) fn add_deliveries(&mut self, deliveries: usize) {
        self.deliveries = self.deliveries.saturating_add(deliveries as u32);
    }

    /// The turn is over: something was left that the rest of it is too short for.
    pub(crate) fn spend(&mut self) {
        self.packets = DELIVERIES_A_TURN;
    }

    /// A turn in which so many nodes are left.
    #[cfg(test)]
    pub(crate) fn with_left(nodes: u32) -> Self {
        Self { packets: (DELIVERIES_A_TURN - nodes * NODE) / PACKET, ..Self::default() }
    }

    /// Is it worth to be told?
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
