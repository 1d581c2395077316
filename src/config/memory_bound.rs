//! [`MemoryBound`]: a bound of memory. Its default depends on the available memory.

use toml::de::DeValue;

use super::forms::{Form, Misfit, Size};

/// A bound of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemoryBound {
    /// A part of the memory of the machine, or of the process's control group.
    #[default]
    Auto,
    /// No bound.
    Off,
    /// This many bytes.
    Bytes(usize),
}

/// Its form: a size, `"auto"`, or `"none"` or 0.
pub(super) struct OfMemory(pub Size);

impl Form for OfMemory {
    type Value = MemoryBound;

    fn expected(&self) -> String {
        format!("{}, \"auto\", or \"none\"", self.0.expected())
    }

    fn allowed(&self) -> String {
        format!("{}, \"auto\", or \"none\"", self.0.allowed())
    }

    fn read(&self, written: &DeValue<'_>) -> Result<MemoryBound, Misfit> {
        match written.as_str() {
            Some("auto") => Ok(MemoryBound::Auto),
            Some("none") => Ok(MemoryBound::Off),
            _ => match (Size { min: 0, max: self.0.max }).read(written) {
                Ok(0) => Ok(MemoryBound::Off),
                _ => self.0.read(written).map(MemoryBound::Bytes),
            },
        }
    }

    fn write(&self, value: &MemoryBound) -> String {
        match value {
            MemoryBound::Auto => "\"auto\"".into(),
            MemoryBound::Off => "\"none\"".into(),
            MemoryBound::Bytes(bytes) => self.0.write(bytes),
        }
    }
}
