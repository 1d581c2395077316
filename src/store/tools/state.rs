//! The state that the lines of an export have, for a broker that runs.

use std::{collections::HashMap, io, io::BufRead, num::NonZeroU64, path::Path, time::Instant};

use super::{super::recovery::restored, ToolError, export::whole, import::import};
use crate::{
    router::Restored,
    session::{Message, RestoredState},
};

/// The state that the lines of an export have. All of it is checked, by a data directory that is made of it in
/// `scratch`, which is created or must be empty, and stays behind.
pub(crate) fn state_of(scratch: &Path, lines: impl BufRead, now: Instant) -> Result<Restored, ToolError> {
    import(scratch, lines, &mut io::sink())?;
    let (recovered, time) = whole(scratch, "importing")?;
    let mut state = restored(&recovered.index, time.age, now);
    let mut copies = HashMap::new();
    for retained in &mut state.retained {
        unstored(&mut retained.message, &mut copies);
    }
    for message in state.sessions.iter_mut().flat_map(|session| &mut session.messages) {
        match &mut message.state {
            RestoredState::Queued { message, .. } | RestoredState::Sent { message, .. } => {
                unstored(message, &mut copies);
            }
            RestoredState::Released { .. } => {}
        }
    }
    Ok(state)
}

/// The same message, which no store has yet: messages know their numbers in a store.
fn unstored(message: &mut Message, copies: &mut HashMap<NonZeroU64, Message>) {
    let copy = || Message::with(message.topic(), message.payload(), message.qos(), message.extras());
    let new = match message.store_number() {
        Some(number) => copies.entry(number).or_insert_with(copy).clone(),
        None => copy(),
    };
    *message = new;
}
