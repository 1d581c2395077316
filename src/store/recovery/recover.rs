//! Reads a data directory that no broker uses: its segments, the end of each, and the state that the log describes. It
//! changes nothing. Damage is collected, so that the same walk serves a start, a check and a repair.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
};

use super::{
    super::{
        index::{Index, SegmentId},
        log::{
            About, BadHeader, Damage, Decoder, End, File, Files, Frame, HEADER, Header, Key, Last, LogRecord,
            RecoveryError, Time, VERSION, format, names, read_all,
        },
    },
    replay::{Dangling, Replay},
};

/// The result of reading a data directory.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) index: Index,
    /// The segments of the log, in order.
    pub(crate) segments: Vec<Found>,
    /// Set if the last segment ends in an incomplete frame.
    pub(crate) torn: Option<Torn>,
    pub(crate) damage: Vec<Damage>,
    pub(crate) dangling: Vec<Dangling>,
    /// Files that are not needed.
    pub(crate) obsolete: Vec<String>,
    pub(crate) spares: Vec<String>,
    pub(crate) next_segment: u64,
    pub(crate) next_frame: u64,
    /// The oldest segment that is needed, from the last frame.
    pub(crate) oldest: u64,
    pub(crate) salt: Option<u64>,
    /// When the last frame was written.
    pub(crate) last: Time,
    /// The format of the last segment.
    pub(crate) version: Option<u32>,
}

/// A segment that was found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) id: u64,
    pub(crate) len: u64,
    /// Where its last frame ends.
    pub(crate) end: u64,
    /// Where its first frame begins that may not be durable although it can be read. Equals `end` if there is none.
    pub(crate) unsynced: u64,
    pub(crate) frames: u64,
    pub(crate) records: u64,
}

/// The end of the log that is cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Torn {
    pub(crate) file: String,
    /// Where it begins.
    pub(crate) offset: u64,
    /// The number of the frame that began there.
    pub(crate) frame: u64,
    /// The log is known to end before it, so nothing of it was acknowledged.
    pub(crate) beyond_end: bool,
}

impl Torn {
    /// How much of it was acknowledged, as far as that is known.
    pub(crate) fn acknowledged(&self) -> &'static str {
        match self.beyond_end {
            true => "nothing",
            false => "nothing, if it was being written when the broker ended and was not damaged since",
        }
    }
}

/// The place of a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Position<'a> {
    pub(crate) file: &'a str,
    /// The offset of its frame.
    pub(crate) offset: usize,
    pub(crate) about: About,
}

/// Reads the whole directory. `visit` gets each record in order.
pub(crate) fn recover(
    files: &impl Files,
    visit: &mut dyn FnMut(Position<'_>, &LogRecord<'_>),
) -> Result<Recovered, RecoveryError> {
    let mut walk = Walk::default();
    let mut recovered_spares = Vec::new();
    let mut present = BTreeMap::new();
    for name in files.list().map_err(RecoveryError::io("", "cannot list the data directory"))? {
        match names::segment_id(&name) {
            Some(id) => drop(present.insert(id, name)),
            None if names::spare_number(&name).is_some() => recovered_spares.push(name),
            None if names::is_unfinished(&name) => walk.obsolete.push(name),
            None => {}
        }
    }
    let mut headers = BTreeMap::new();
    for (&id, name) in &present {
        if let Some(header) = header_of(files, name)?.filter(|header| header.id == id) {
            headers.insert(id, header);
        }
    }
    walk.salt = headers.values().next_back().map(|header| header.salt);
    walk.versions = headers.iter().map(|(&id, header)| (id, header.version)).collect();

    let mut bytes = Vec::new();
    let last = walk.find_last(files, &mut present, &headers, &mut bytes)?;
    if let Some(last) = last {
        walk.oldest = walk.oldest_needed(last, headers.get(&last), &bytes);
        let needed = present.split_off(&walk.oldest);
        walk.obsolete.extend(std::mem::replace(&mut present, needed).into_values());
        for id in walk.oldest..=last {
            let Some(name) = present.get(&id) else {
                walk.damaged(&names::segment(id), 0, "the segment is missing, with all that it held");
                continue;
            };
            read(files, name, &mut bytes)?;
            let next_first = headers.get(&(id + 1)).map(|next| next.first_frame).filter(|_| id != last);
            walk.segment(id, id == last, headers.get(&id), &bytes, next_first, visit);
        }
    }
    let noted = Last::read(files).map_err(RecoveryError::io(names::LAST, "cannot read it"))?;
    let end = End::read(files).map_err(RecoveryError::io(names::END, "cannot read it"))?;
    walk.look_at_the_end(last, noted, end);
    let version = walk.versions.values().next_back().copied();
    let Walk { replay, segments, torn, mut damage, obsolete, next_frame, last_time, oldest, salt, .. } = walk;
    let first = segments.first().map_or(1, |found| found.id) as SegmentId;
    let end = last.unwrap_or(0) as SegmentId;
    let (index, dangling) = replay.finish(first..=end, last_time);
    let last_file = last.map_or_else(String::new, names::segment);
    // if records are lost, references to them are no further damage
    if damage.is_empty() {
        let end = segments.last().map_or(0, |found| found.end);
        damage.extend(dangling.iter().map(|d| Damage { file: last_file.clone(), offset: end, what: d.to_string() }));
    }
    Ok(Recovered {
        index,
        segments,
        torn,
        damage,
        dangling,
        obsolete,
        spares: recovered_spares,
        next_segment: last.unwrap_or(0).max(noted) + 1,
        next_frame,
        oldest,
        salt,
        last: last_time,
        version,
    })
}

/// The segment that is being read.
struct Segment<'a> {
    file: String,
    is_last: bool,
    bytes: &'a [u8],
    key: Key,
    /// The number of the first frame of the next segment, if it is known.
    next_first: Option<u64>,
}

/// The state of the walk.
#[derive(Debug)]
struct Walk {
    replay: Replay,
    segments: Vec<Found>,
    torn: Option<Torn>,
    damage: Vec<Damage>,
    obsolete: Vec<String>,
    next_frame: u64,
    last_time: Time,
    /// The formats of segments with a valid header.
    versions: BTreeMap<u64, u32>,
    oldest: u64,
    salt: Option<u64>,
}

impl Default for Walk {
    fn default() -> Self {
        Self {
            replay: Replay::default(),
            segments: Vec::new(),
            torn: None,
            damage: Vec::new(),
            obsolete: Vec::new(),
            next_frame: 1,
            last_time: Time::default(),
            versions: BTreeMap::new(),
            oldest: 1,
            salt: None,
        }
    }
}

impl Walk {
    /// The key for the frames of a segment. If its header is damaged, the format of a neighbour is used.
    fn key(&self, id: u64) -> Key {
        let before = self.versions.range(..=id).next_back();
        let version = before.or_else(|| self.versions.range(id..).next()).map_or(VERSION, |(_, &version)| version);
        Key::new(self.salt.unwrap_or(0), id, version)
    }

    fn damaged(&mut self, file: &str, offset: usize, what: impl Into<String>) {
        self.damage.push(Damage { file: file.to_owned(), offset: offset as u64, what: what.into() });
    }

    /// The last segment, whose contents are in `bytes` afterwards. A file without a complete header is not a segment
    /// yet.
    fn find_last(
        &mut self,
        files: &impl Files,
        present: &mut BTreeMap<u64, String>,
        headers: &BTreeMap<u64, Header>,
        bytes: &mut Vec<u8>,
    ) -> Result<Option<u64>, RecoveryError> {
        let Some((&id, name)) = present.last_key_value() else { return Ok(None) };
        read(files, name, bytes)?;
        let began = match self.salt {
            _ if headers.contains_key(&id) => true,
            Some(_) => format::find_frame(bytes, 0, self.key(id), 1..=u64::MAX).is_some(),
            // the first segment of the log: it has only zeros if nothing was written
            None => bytes.iter().skip(HEADER).any(|&byte| byte != 0),
        };
        if !began {
            self.obsolete.extend(present.remove(&id));
            let Some((_, name)) = present.last_key_value() else { return Ok(None) };
            read(files, name, bytes)?;
        }
        Ok(present.last_key_value().map(|(&id, _)| id))
    }

    /// The oldest segment that is needed, from the last frame of the last segment.
    fn oldest_needed(&self, last: u64, header: Option<&Header>, bytes: &[u8]) -> u64 {
        let key = self.key(last);
        let mut oldest = header.map_or(0, |header| header.oldest);
        let mut expected = header.map(|header| header.first_frame);
        let mut at = HEADER;
        loop {
            let from = expected.unwrap_or(1);
            let next = match expected {
                Some(number) => frame_from(bytes, at, key, number),
                None => format::find_frame(bytes, at, key, 1..=u64::MAX),
            };
            let Some((_, frame)) = next else { break };
            // frames that are cut off do not count; damage is reported later, and frames behind it count
            if expected.is_some_and(|number| frame.about.number != number) && !known_synced(bytes, next, key, from) {
                break;
            }
            oldest = oldest.max(frame.about.oldest);
            (at, expected) = (frame.end, Some(frame.about.number + 1));
        }
        oldest.clamp(1, last)
    }

    fn segment(
        &mut self,
        id: u64,
        is_last: bool,
        header: Option<&Header>,
        bytes: &[u8],
        next_first: Option<u64>,
        visit: &mut dyn FnMut(Position<'_>, &LogRecord<'_>),
    ) {
        let key = self.key(id);
        let segment = Segment { file: names::segment(id), is_last, bytes, key, next_first };
        self.begin_segment(&segment.file, header);
        let (len, end) = (bytes.len() as u64, HEADER as u64);
        let mut found = Found { id, len, end, unsynced: end, frames: 0, records: 0 };
        // numbers and offsets of frames that may not be durable
        let mut unsynced = VecDeque::new();
        let mut at = HEADER;
        while let Some(frame) = self.next_frame_of(&segment, at) {
            found.frames += 1;
            found.records += self.frame(&segment.file, at, frame, id as SegmentId, visit);
            unsynced.push_back((frame.about.number, at as u64));
            while unsynced.front().is_some_and(|(number, _)| *number <= frame.about.synced) {
                unsynced.pop_front();
            }
            at = frame.end;
            self.next_frame = frame.about.number + 1;
            found.end = at as u64;
        }
        found.unsynced = unsynced.front().map_or(found.end, |(_, at)| *at);
        self.segments.push(found);
    }

    /// Checks the header of the next segment.
    fn begin_segment(&mut self, file: &str, header: Option<&Header>) {
        let is_first = self.segments.is_empty() && self.damage.is_empty();
        let Some(header) = header else { return self.damaged(file, 0, "the segment's header is damaged") };
        if Some(header.salt) != self.salt {
            self.damaged(file, 0, "the segment is of another log");
        }
        if is_first {
            self.next_frame = header.first_frame;
        } else if header.first_frame > self.next_frame {
            let missing = missing(self.next_frame, header.first_frame);
            self.damaged(file, 0, format!("{missing} missing before this segment"));
        }
        self.next_frame = self.next_frame.max(header.first_frame);
        self.replay.floors(header.next_session, header.next_message);
    }

    /// The frame at `at`, or the next one behind a damaged place. `None`: the segment has no more frames.
    fn next_frame_of<'a>(&mut self, segment: &Segment<'a>, at: usize) -> Option<Frame<'a>> {
        let &Segment { ref file, is_last, bytes, key, next_first } = segment;
        let expected = self.next_frame;
        let here = format::frame_at(bytes, at, key).filter(|frame| frame.about.number >= expected);
        if here.is_some_and(|frame| frame.about.number == expected) {
            return here;
        }
        if next_first == Some(expected) {
            return None;
        }
        let later = here.map(|frame| (at, frame)).or_else(|| {
            let most = most_frames(bytes, expected);
            let numbers = expected + 1..=next_first.map_or(most, |first| first - 1);
            format::find_frame(bytes, at, key, numbers)
        });
        let must_be_here = !is_last || known_synced(bytes, later, key, expected);
        if let Some((later_at, frame)) = later.filter(|_| must_be_here) {
            let lost = missing(expected, frame.about.number);
            self.damaged(file, at, format!("{lost} damaged: {} bytes, and whole frames follow", later_at - at));
            return Some(frame);
        }
        if is_last {
            if format::number_at(bytes, at) == Some(expected) {
                self.torn = Some(Torn { file: file.clone(), offset: at as u64, frame: expected, beyond_end: false });
            }
        } else if let Some(first) = next_first.filter(|&first| first > expected) {
            let lost = missing(expected, first);
            self.damaged(file, at, format!("{lost} missing at the end of this segment"));
        }
        None
    }

    /// Checks the end of the log against the files beside it. `last`: the last segment that was found; `noted`: the
    /// last one that began according to `LAST`; `end`: the contents of `END`.
    fn look_at_the_end(&mut self, last: Option<u64>, noted: u64, end: Option<Result<End, ()>>) {
        let found = self.segments.last().map_or((0, 0), |found| (found.id, found.end));
        let lost = "the last segment is missing, or its beginning is; its records are lost";
        match end {
            Some(Ok(End { segment, frame, length })) if found < (segment, length) || self.next_frame <= frame => {
                let offset = if found.0 == segment { found.1 } else { 0 };
                let what = if found.0 < segment {
                    format!("{lost}; the log was closed with frame {frame}")
                } else {
                    let lost = missing(self.next_frame.min(frame), frame + 1);
                    format!("{lost} missing: the log was closed with frame {frame} at byte {length}")
                };
                self.damaged(&names::segment(segment), offset as usize, what);
                self.torn = None;
            }
            Some(Err(())) => self.damaged(names::END, 0, "the file is damaged: it does not contain the end of the log"),
            _ if noted > last.unwrap_or(0) => {
                self.damaged(&names::segment(noted), 0, lost);
                self.torn = None;
            }
            Some(Ok(_)) => self.torn.iter_mut().for_each(|torn| torn.beyond_end = true),
            None => {}
        }
    }

    /// Applies the records of a frame. Returns their number.
    fn frame(
        &mut self,
        file: &str,
        offset: usize,
        frame: Frame<'_>,
        segment: SegmentId,
        visit: &mut dyn FnMut(Position<'_>, &LogRecord<'_>),
    ) -> u64 {
        self.last_time = frame.about.time;
        let mut decoder = Decoder::new(frame.records);
        let mut records = 0;
        while decoder.left() > 0 {
            let at = frame.end - decoder.left();
            match decoder.next() {
                Ok(record) => {
                    visit(Position { file, offset, about: frame.about }, &record);
                    self.replay.apply(&record, segment);
                    records += 1;
                }
                Err(why) => {
                    let what = format!("a record of frame {} {why}; the rest of the frame is lost", frame.about.number);
                    self.damaged(file, at, what);
                    break;
                }
            }
        }
        records
    }
}

/// Was the frame `expected` durable when one of the later frames was written? If not, a power cut may have lost it and
/// kept the later ones, which were not acknowledged either.
fn known_synced<'a>(bytes: &'a [u8], mut later: Option<(usize, Frame<'a>)>, key: Key, expected: u64) -> bool {
    while let Some((_, frame)) = later {
        if frame.about.synced >= expected {
            return true;
        }
        later = frame_from(bytes, frame.end, key, frame.about.number + 1);
    }
    false
}

/// The next whole frame at `at` or behind it with at least this number.
fn frame_from(bytes: &[u8], at: usize, key: Key, number: u64) -> Option<(usize, Frame<'_>)> {
    match format::frame_at(bytes, at, key) {
        Some(frame) if frame.about.number >= number => Some((at, frame)),
        _ => format::find_frame(bytes, at, key, number..=most_frames(bytes, number)),
    }
}

/// The largest number of a frame in a segment whose first frame may be `number`.
fn most_frames(bytes: &[u8], number: u64) -> u64 {
    number.saturating_add((bytes.len() / format::PREFIX) as u64)
}

/// "frame 7 is" or "frames 7 to 9 are".
fn missing(from: u64, to: u64) -> String {
    if to - from == 1 { format!("frame {from} is") } else { format!("frames {from} to {} are", to - 1) }
}

fn read(files: &impl Files, name: &str, bytes: &mut Vec<u8>) -> Result<(), RecoveryError> {
    let read = files.open(name).and_then(|file| read_all(&file, bytes));
    read.map_err(RecoveryError::io(name, "cannot read the segment"))
}

/// The header of a segment; `None`: it is not valid.
fn header_of(files: &impl Files, name: &str) -> Result<Option<Header>, RecoveryError> {
    let read = || -> io::Result<Vec<u8>> {
        let file = files.open(name)?;
        let mut bytes = vec![0; HEADER];
        let mut at = 0;
        while at < HEADER {
            match file.read_at(&mut bytes[at..], at as u64)? {
                0 => break,
                read => at += read,
            }
        }
        bytes.truncate(at);
        Ok(bytes)
    };
    match Header::decode(&read().map_err(RecoveryError::io(name, "cannot read the segment"))?) {
        Ok(header) => Ok(Some(header)),
        Err(BadHeader::Damaged) => Ok(None),
        Err(BadHeader::Version(version)) => Err(RecoveryError::Version { file: name.to_owned(), version }),
    }
}

impl std::fmt::Display for Dangling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Session { session, messages, subscriptions } => write!(
                f,
                "session {session} has {messages} messages and {subscriptions} subscriptions, and nothing says whose it is"
            ),
            Self::Message { client, message } => {
                write!(f, "client {client:?} has message {message}, and the message itself is nowhere")
            }
            Self::Retained { topic } => write!(f, "topic {topic:?} has a retained message that is nowhere"),
        }
    }
}
