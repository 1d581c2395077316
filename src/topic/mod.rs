//! Topic Names and Topic Filters (MQTT 3.1.1 section 4.7), and the two indexes over them. Pure: no clock, no locks.

mod name;

pub use name::{TopicError, TopicFilter, TopicName};
