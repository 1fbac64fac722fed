//! Checks a whole catalog against [`crate::invariants`]. Reads one snapshot; changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use kv::{KeyPrefix, Snap};
use types::{ManifestId, NodeId, SegmentId, StreamId};

use crate::invariants::Invariant;
use crate::records::{Body, Entry, Extent, SegmentRow, SessionState, StreamRow, StreamState};
use crate::schema::{
    CHECKS, DEGRADED, DETAILS, EXTENTS, GROUPS, GROUPS_OF_NODE, INLINE, OBJECTS, PARTS, REFERENCES, RELEASES,
    SEGMENTS, SEGMENTS_OF_GROUP, SESSIONS, STREAMS, UPLOADS, WRAPS,
};
use crate::{Catalog, CatalogError};

/// What a check found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Objects looked at.
    pub objects: u64,
    /// Streams looked at.
    pub streams: u64,
    /// Segments looked at.
    pub segments: u64,
    /// Segments that miss shards: not an error, but work for repair.
    pub degraded: u64,
    /// Each broken invariant, in words.
    pub broken: Vec<(Invariant, String)>,
}

/// Collects what one pass learns for the next.
#[derive(Default)]
struct Check {
    report: Report,
    /// (stream, manifest, part) that must have a reference row.
    wanted: BTreeSet<(StreamId, ManifestId, u32)>,
    streams: BTreeMap<StreamId, StreamRow>,
}

impl Check {
    fn broken(&mut self, number: u8, words: String) {
        self.report.broken.push((Invariant(number), words));
    }
}

impl Catalog {
    /// Checks everything. Memory grows with the number of streams, not of bytes.
    ///
    /// # Errors
    /// Only the engine's; what is wrong with the data is in the report.
    pub async fn fsck(&self) -> Result<Report, CatalogError> {
        let snap = self.kv.snapshot().await?;
        let mut check = Check::default();
        check.streams = STREAMS.scan(&snap, KeyPrefix::new(), usize::MAX).await?.into_iter().collect();
        check.report.streams = check.streams.len() as u64;
        objects(&snap, &mut check).await?;
        uploads(&snap, &mut check).await?;
        references(&snap, &mut check).await?;
        segments(&snap, &mut check).await?;
        groups(&snap, &mut check).await?;
        Ok(check.report)
    }
}

async fn objects(snap: &Snap, check: &mut Check) -> Result<(), CatalogError> {
    for ((bucket, key), entry) in OBJECTS.scan(snap, KeyPrefix::new(), usize::MAX).await? {
        check.report.objects += 1;
        let name = format!("object {bucket}/{key}");
        if DETAILS.get(snap, &entry.manifest).await?.is_none() {
            check.broken(1, format!("{name} has no detail"));
        }
        object_body(snap, check, &name, &entry).await?;
    }
    Ok(())
}

async fn object_body(
    snap: &Snap,
    check: &mut Check,
    name: &str,
    entry: &Entry,
) -> Result<(), CatalogError> {
    match entry.body {
        Body::Inline => match INLINE.get(snap, &entry.manifest).await? {
            None => check.broken(1, format!("{name} has no inline bytes")),
            Some(inline) => {
                if WRAPS.get(snap, &(entry.manifest, inline.stream)).await?.is_none() {
                    check.broken(1, format!("{name} has no wrap"));
                }
            }
        },
        Body::Extents { pages } => {
            let mut size = 0;
            for page in 0..pages {
                let Some(page) = EXTENTS.get(snap, &(entry.manifest, page)).await? else {
                    check.broken(1, format!("{name} lacks page {page}"));
                    continue;
                };
                for part in &page {
                    size += part.len;
                    extent(snap, check, name, entry.manifest, part).await?;
                }
            }
            if size != entry.size {
                check.broken(3, format!("{name} has {size} bytes of extents and a size of {}", entry.size));
            }
        }
    }
    Ok(())
}

async fn extent(
    snap: &Snap,
    check: &mut Check,
    name: &str,
    manifest: ManifestId,
    extent: &Extent,
) -> Result<(), CatalogError> {
    check.wanted.insert((extent.stream, manifest, extent.part));
    if WRAPS.get(snap, &(manifest, extent.stream)).await?.is_none() {
        check.broken(2, format!("{name} has no wrap for stream {}", extent.stream));
    }
    match check.streams.get(&extent.stream) {
        Some(row) if row.state == StreamState::Whole => {
            if extent.offset + extent.len > row.len {
                check.broken(3, format!("{name} reaches beyond stream {}", extent.stream));
            }
        }
        // Collect may be looking at it this moment; it will find the reference and unmark it.
        Some(row) if row.state == StreamState::Dying => {}
        _ => check.broken(2, format!("{name} needs stream {}, which is not whole", extent.stream)),
    }
    Ok(())
}

async fn uploads(snap: &Snap, check: &mut Check) -> Result<(), CatalogError> {
    for ((_, key, manifest), _) in UPLOADS.scan(snap, KeyPrefix::new(), usize::MAX).await? {
        let name = format!("upload {manifest} of {key}");
        for ((_, number), part) in PARTS.scan(snap, KeyPrefix::of(&manifest), usize::MAX).await? {
            let part = Extent {
                stream: part.stream,
                offset: part.offset,
                len: part.len,
                part: number,
                checksums: part.checksums,
            };
            extent(snap, check, &name, manifest, &part).await?;
        }
    }
    Ok(())
}

async fn references(snap: &Snap, check: &mut Check) -> Result<(), CatalogError> {
    let present: BTreeSet<_> =
        REFERENCES.scan(snap, KeyPrefix::new(), usize::MAX).await?.into_iter().map(|(key, ())| key).collect();
    let releases: BTreeSet<ManifestId> =
        RELEASES.scan(snap, KeyPrefix::new(), usize::MAX).await?.into_iter().map(|((id, _), _)| id).collect();
    let checks: BTreeSet<StreamId> =
        CHECKS.scan(snap, KeyPrefix::new(), usize::MAX).await?.into_iter().map(|((_, _, id), ())| id).collect();
    for missing in check.wanted.difference(&present).copied().collect::<Vec<_>>() {
        check.broken(2, format!("stream {} lacks the reference of {} part {}", missing.0, missing.1, missing.2));
    }
    for (stream, manifest, part) in present.difference(&check.wanted).copied().collect::<Vec<_>>() {
        if !releases.contains(&manifest) {
            check.broken(6, format!("nobody owns the reference of {manifest} part {part} to stream {stream}"));
        }
    }
    let sessions: BTreeMap<_, _> =
        SESSIONS.scan(snap, KeyPrefix::new(), usize::MAX).await?.into_iter().collect();
    let referenced: BTreeSet<StreamId> = present.iter().map(|(stream, ..)| *stream).collect();
    let lost: Vec<StreamId> = check
        .streams
        .keys()
        .filter(|id| !referenced.contains(id) && !checks.contains(id))
        .filter(|id| {
            sessions.get(&id.session).is_none_or(|session| matches!(session.state, SessionState::Ended { .. }))
        })
        .copied()
        .collect();
    for stream in lost {
        check.broken(7, format!("stream {stream} is neither referred to nor waiting for collect"));
    }
    Ok(())
}

async fn segments(snap: &Snap, check: &mut Check) -> Result<(), CatalogError> {
    let mut counts: BTreeMap<StreamId, u32> = BTreeMap::new();
    for (id, row) in SEGMENTS.scan(snap, KeyPrefix::new(), usize::MAX).await? {
        check.report.segments += 1;
        *counts.entry(id.stream).or_default() += 1;
        segment(snap, check, id, &row).await?;
    }
    for (id, row) in check.streams.clone() {
        let found = counts.remove(&id).unwrap_or(0);
        if row.state == StreamState::Whole && found != row.segments {
            check.broken(4, format!("stream {id} has {found} segments of {}", row.segments));
        }
    }
    for id in counts.into_keys() {
        check.broken(4, format!("segments without a stream: {id}"));
    }
    Ok(())
}

async fn segment(snap: &Snap, check: &mut Check, id: SegmentId, row: &SegmentRow) -> Result<(), CatalogError> {
    let at = (row.group, id);
    match GROUPS.get(snap, &row.group).await? {
        Some(group) if group.slots.len() == row.roots.len() => {}
        Some(_) => check.broken(4, format!("segment {id} has not one root for each slot")),
        None => check.broken(4, format!("segment {id} names group {}, which is not there", row.group)),
    }
    if SEGMENTS_OF_GROUP.get(snap, &at).await?.is_none() {
        check.broken(5, format!("segment {id} is not in its group's list"));
    }
    let listed = DEGRADED.get(snap, &at).await?.is_some();
    check.report.degraded += u64::from(listed);
    if listed == row.missed.is_empty() {
        check.broken(5, format!("segment {id} is wrongly in or not in the degraded list"));
    }
    Ok(())
}

async fn groups(snap: &Snap, check: &mut Check) -> Result<(), CatalogError> {
    let mut members = BTreeSet::new();
    for (id, group) in GROUPS.scan(snap, KeyPrefix::new(), usize::MAX).await? {
        let nodes: Vec<NodeId> = group.slots.iter().filter_map(|slot| slot.node).collect();
        if nodes.iter().collect::<BTreeSet<_>>().len() != nodes.len() {
            check.broken(8, format!("a node fills two slots of group {id}"));
        }
        members.extend(nodes.into_iter().map(|node| (node, id)));
    }
    let rows: BTreeSet<_> =
        GROUPS_OF_NODE.scan(snap, KeyPrefix::new(), usize::MAX).await?.into_iter().map(|(key, _)| key).collect();
    for (node, id) in members.symmetric_difference(&rows).copied().collect::<Vec<_>>() {
        check.broken(8, format!("group {id} and the list of node {node} disagree"));
    }
    Ok(())
}
