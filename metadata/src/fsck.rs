//! Checks a whole catalog against [`crate::invariants`]. Reads one snapshot; changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use kv::{Inverted, KeyCodec, Snap, Span, Table};
use serde::Serialize;
use serde::de::DeserializeOwned;
use types::{BucketId, ManifestId, NodeId, ObjectKey, SegmentId, StreamId, VersionId};

use crate::invariants::Invariant;
use crate::records::{
    Body, Entry, Part, PlacementGroup, SegmentRow, SessionState, StreamRow, StreamState,
};
use crate::schema::{
    BUCKET_CONFIGS, BUCKETS, BUCKETS_OF, CHECKS, DEGRADED, DETAILS, EXTENTS, GROUPS,
    GROUPS_OF_NODE, INLINE, NULLS, OBJECTS, PARTS, REFERENCES, RELEASES, RENAMES, SEGMENTS,
    SEGMENTS_OF_GROUP, SESSIONS, STREAMS, UNFINISHED, UPLOADS, VERSIONS, WRAPS,
};
use crate::walk::Walk;
use crate::{Catalog, CatalogError};

/// Rows read at a time.
const PAGE: usize = 500;

/// What a check found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Versions of objects looked at, delete markers among them.
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

/// What a manifest belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Inline,
    Extents { pages: u32 },
    DeleteMarker,
    Upload,
}

/// Collects what one pass learns for the next.
struct Check {
    snap: Snap,
    report: Report,
    buckets: BTreeSet<BucketId>,
    owners: BTreeMap<ManifestId, Owner>,
    /// Manifests with a release that waits: what they still have is being taken away.
    releases: BTreeSet<ManifestId>,
    /// (stream, manifest, part) that must have a reference row.
    wanted: BTreeSet<(StreamId, ManifestId, u32)>,
    /// Those that have one.
    references: BTreeSet<(StreamId, ManifestId, u32)>,
    streams: BTreeMap<StreamId, StreamRow>,
    groups: BTreeMap<types::GroupId, PlacementGroup>,
}

/// A part of a manifest that refers to a stream.
struct Referrer<'a> {
    name: &'a str,
    manifest: ManifestId,
    part: u32,
    stream: StreamId,
    offset: u64,
    len: u64,
}

impl Catalog {
    /// Checks everything. Memory grows with the number of objects, streams and references, not of bytes.
    ///
    /// # Errors
    /// Only the engine's; what is wrong with the data is in the report.
    pub async fn fsck(&self) -> Result<Report, CatalogError> {
        let snap = self.kv.snapshot().await?;
        let mut check = Check {
            report: Report::default(),
            buckets: BTreeSet::new(),
            owners: BTreeMap::new(),
            releases: keys(&snap, &RELEASES).await?.into_iter().map(|(id, _)| id).collect(),
            wanted: BTreeSet::new(),
            references: keys(&snap, &REFERENCES).await?,
            streams: rows(&snap, &STREAMS).await?,
            groups: rows(&snap, &GROUPS).await?,
            snap,
        };
        check.report.streams = check.streams.len() as u64;
        check.buckets().await?;
        check.objects().await?;
        check.versions().await?;
        check.uploads().await?;
        check.references();
        check.streams().await?;
        check.segments().await?;
        check.members().await?;
        check.belongings().await?;
        Ok(check.report)
    }
}

impl Check {
    fn broken(&mut self, number: u8, words: String) {
        self.report.broken.push((Invariant(number), words));
    }

    fn expect(&mut self, holds: bool, number: u8, words: impl FnOnce() -> String) {
        if !holds {
            self.broken(number, words());
        }
    }

    async fn buckets(&mut self) -> Result<(), CatalogError> {
        let buckets = rows(&self.snap, &BUCKETS).await?;
        let owned: BTreeSet<_> =
            buckets.iter().map(|(name, bucket)| (bucket.owner.clone(), name.clone())).collect();
        let listed: BTreeSet<_> = keys(&self.snap, &BUCKETS_OF).await?;
        for (owner, name) in owned.symmetric_difference(&listed) {
            self.broken(9, format!("bucket {name} and the list of {owner} disagree"));
        }
        self.buckets = buckets.into_values().map(|bucket| bucket.id).collect();
        for (bucket, kind, name) in keys(&self.snap, &BUCKET_CONFIGS).await? {
            let known = self.buckets.contains(&bucket);
            self.expect(known, 9, || format!("{kind:?} {name} of {bucket} has no bucket"));
        }
        for (bucket, _) in keys(&self.snap, &RENAMES).await? {
            let known = self.buckets.contains(&bucket);
            self.expect(known, 9, || format!("a renaming in {bucket} has no bucket"));
        }
        Ok(())
    }

    async fn objects(&mut self) -> Result<(), CatalogError> {
        let snap = self.snap.clone();
        let mut walk = Walk::new(&OBJECTS, &snap, Span::all(), PAGE);
        while let Some(page) = walk.next().await? {
            for ((bucket, key), entry) in page {
                self.version(bucket, &key, &entry).await?;
            }
        }
        Ok(())
    }

    /// Versions that are not current. Each needs a current one above it.
    async fn versions(&mut self) -> Result<(), CatalogError> {
        let snap = self.snap.clone();
        let mut walk = Walk::new(&VERSIONS, &snap, Span::all(), PAGE);
        while let Some(page) = walk.next().await? {
            for ((bucket, key, Inverted(time)), entry) in page {
                let name = format!("version {} of {bucket}/{key}", entry.version);
                self.expect(time == entry.modified.0, 11, || format!("{name} is out of order"));
                let at = (bucket, key);
                let current = OBJECTS.get(&snap, &at).await?;
                let above = current.is_some_and(|current| current.modified > entry.modified);
                self.expect(above, 11, || format!("{name} is not older than a current one"));
                if entry.version == VersionId::NULL {
                    let listed = NULLS.get(&snap, &at).await? == Some(entry.modified);
                    self.expect(listed, 12, || format!("{name} is not found by its name"));
                }
                self.version(bucket, &at.1, &entry).await?;
            }
        }
        self.nulls().await
    }

    /// Each row that leads to a version `null` finds one.
    async fn nulls(&mut self) -> Result<(), CatalogError> {
        for ((bucket, key), time) in rows(&self.snap, &NULLS).await? {
            let at = (bucket, key, Inverted(time.0));
            let found = VERSIONS.get(&self.snap, &at).await?;
            let null = found.is_some_and(|entry| entry.version == VersionId::NULL);
            self.expect(null, 12, || format!("{}/{} has no version null", at.0, at.1));
        }
        Ok(())
    }

    async fn version(
        &mut self,
        bucket: BucketId,
        key: &ObjectKey,
        entry: &Entry,
    ) -> Result<(), CatalogError> {
        self.report.objects += 1;
        let name = format!("object {bucket}/{key}");
        self.expect(self.buckets.contains(&bucket), 9, || format!("{name} has no bucket"));
        let told = entry.version.time().is_none_or(|time| time == entry.modified);
        self.expect(told, 11, || format!("{name} has an id of another time than its own"));
        let detail = DETAILS.get(&self.snap, &entry.manifest).await?;
        let fine = detail.is_some() != entry.is_delete_marker();
        self.expect(fine, 1, || format!("{name} has no detail, or a delete marker has one"));
        self.body(&name, entry).await
    }

    async fn body(&mut self, name: &str, entry: &Entry) -> Result<(), CatalogError> {
        let manifest = entry.manifest;
        let owner = match entry.body {
            Body::Inline => Owner::Inline,
            Body::Extents { pages } => Owner::Extents { pages },
            Body::DeleteMarker => Owner::DeleteMarker,
        };
        let shared = self.owners.insert(manifest, owner);
        self.expect(shared.is_none(), 10, || format!("{name} shares its manifest"));
        let pages = match entry.body {
            Body::Inline => return self.inline(name, manifest).await,
            Body::Extents { pages } => pages,
            Body::DeleteMarker => return Ok(()),
        };
        let mut size = 0_u64;
        for number in 0..pages {
            let Some(page) = EXTENTS.get(&self.snap, &(manifest, number)).await? else {
                self.broken(1, format!("{name} lacks page {number}"));
                continue;
            };
            for extent in page {
                size = size.saturating_add(extent.len);
                let (part, stream) = (extent.part, extent.stream);
                let (offset, len) = (extent.offset, extent.len);
                self.extent(&Referrer { name, manifest, part, stream, offset, len }).await?;
            }
        }
        self.expect(size == entry.size, 3, || {
            format!("{name} has {size} bytes of extents and a size of {}", entry.size)
        });
        Ok(())
    }

    async fn inline(&mut self, name: &str, manifest: ManifestId) -> Result<(), CatalogError> {
        let Some(inline) = INLINE.get(&self.snap, &manifest).await? else {
            self.broken(1, format!("{name} has no inline bytes"));
            return Ok(());
        };
        let wrap = WRAPS.get(&self.snap, &(manifest, inline.stream)).await?;
        self.expect(wrap.is_some(), 1, || format!("{name} has no wrap"));
        Ok(())
    }

    async fn extent(&mut self, extent: &Referrer<'_>) -> Result<(), CatalogError> {
        let Referrer { name, manifest, part, stream, offset, len } = *extent;
        self.wanted.insert((stream, manifest, part));
        let wrap = WRAPS.get(&self.snap, &(manifest, stream)).await?;
        self.expect(wrap.is_some(), 2, || format!("{name} has no wrap for stream {stream}"));
        match self.streams.get(&stream).map(|row| (row.state, row.len)) {
            // Collect may be looking at it this moment; it will find the reference and unmark it.
            Some((StreamState::Whole | StreamState::Dying, whole)) => {
                let inside = offset.checked_add(len).is_some_and(|end| end <= whole);
                self.expect(inside, 3, || format!("{name} reaches beyond stream {stream}"));
            }
            _ => self.broken(2, format!("{name} needs stream {stream}, which is not whole")),
        }
        Ok(())
    }

    async fn uploads(&mut self) -> Result<(), CatalogError> {
        for (bucket, key, manifest) in keys(&self.snap, &UPLOADS).await? {
            let name = format!("upload {manifest} of {key}");
            self.expect(self.buckets.contains(&bucket), 9, || format!("{name} has no bucket"));
            let shared = self.owners.insert(manifest, Owner::Upload);
            self.expect(shared.is_none(), 10, || format!("{name} shares its manifest"));
            let snap = self.snap.clone();
            let parts = kv::KeyPrefix::of(&manifest);
            let mut walk = Walk::new(&PARTS, &snap, parts, PAGE);
            while let Some(page) = walk.next().await? {
                for ((_, part), Part { stream, offset, len, .. }) in page {
                    let name = &name;
                    self.extent(&Referrer { name, manifest, part, stream, offset, len }).await?;
                }
            }
        }
        Ok(())
    }

    fn references(&mut self) {
        let missing: Vec<_> = self.wanted.difference(&self.references).copied().collect();
        for (stream, manifest, part) in missing {
            self.broken(
                2,
                format!("stream {stream} lacks the reference of {manifest} part {part}"),
            );
        }
        let stray: Vec<_> = self.references.difference(&self.wanted).copied().collect();
        for (stream, manifest, part) in stray {
            self.expect(self.releases.contains(&manifest), 6, || {
                format!("nobody owns the reference of {manifest} part {part} to stream {stream}")
            });
        }
    }

    async fn streams(&mut self) -> Result<(), CatalogError> {
        let unfinished = keys(&self.snap, &UNFINISHED).await?;
        let writing: BTreeSet<StreamId> = self
            .streams
            .iter()
            .filter(|(_, row)| row.state == StreamState::Writing)
            .map(|(id, _)| *id)
            .collect();
        for stream in unfinished.symmetric_difference(&writing) {
            self.broken(7, format!("stream {stream} is wrongly in or not in the unfinished list"));
        }
        let checks: BTreeSet<StreamId> =
            keys(&self.snap, &CHECKS).await?.into_iter().map(|(_, _, id)| id).collect();
        let referred: BTreeSet<StreamId> =
            self.references.iter().map(|(stream, ..)| *stream).collect();
        let sessions = rows(&self.snap, &SESSIONS).await?;
        let lost: Vec<StreamId> = self
            .streams
            .keys()
            .filter(|id| !referred.contains(id) && !checks.contains(id))
            .filter(|id| {
                let session = sessions.get(&id.session);
                session.is_none_or(|row| matches!(row.state, SessionState::Ended { .. }))
            })
            .copied()
            .collect();
        for stream in lost {
            self.broken(7, format!("stream {stream} is neither referred to nor waits for collect"));
        }
        Ok(())
    }

    async fn segments(&mut self) -> Result<(), CatalogError> {
        let snap = self.snap.clone();
        // How many segments a stream has, and whether their numbers are 0, 1, 2 and so on.
        let mut found: BTreeMap<StreamId, (u32, bool)> = BTreeMap::new();
        let mut walk = Walk::new(&SEGMENTS, &snap, Span::all(), PAGE);
        while let Some(page) = walk.next().await? {
            for (id, row) in page {
                self.report.segments += 1;
                let (count, gapless) = found.entry(id.stream).or_insert((0, true));
                *gapless &= id.index == *count;
                *count += 1;
                self.segment(id, &row).await?;
            }
        }
        let expected: Vec<_> =
            self.streams.iter().map(|(id, row)| (*id, row.state, row.segments)).collect();
        for (id, state, segments) in expected {
            let (count, gapless) = found.remove(&id).unwrap_or((0, true));
            // A dying stream may be half freed.
            let fine = state == StreamState::Dying || (gapless && count == segments);
            self.expect(fine, 4, || format!("stream {id} has {count} segments of {segments}"));
        }
        for id in found.into_keys() {
            self.broken(4, format!("segments without a stream: {id}"));
        }
        self.segment_lists().await
    }

    async fn segment(&mut self, id: SegmentId, row: &SegmentRow) -> Result<(), CatalogError> {
        let at = (row.group, id);
        match self.groups.get(&row.group).map(|group| group.slots.len()) {
            Some(slots) => self.expect(slots == row.roots.len(), 4, || {
                format!("segment {id} has not one root for each slot")
            }),
            None => self.broken(4, format!("segment {id} names no group there is: {}", row.group)),
        }
        let listed = SEGMENTS_OF_GROUP.get(&self.snap, &at).await?.is_some();
        self.expect(listed, 5, || format!("segment {id} is not in its group's list"));
        let degraded = DEGRADED.get(&self.snap, &at).await?.is_some();
        self.report.degraded += u64::from(degraded);
        self.expect(degraded != row.missed.is_empty(), 5, || {
            format!("segment {id} is wrongly in or not in the degraded list")
        });
        Ok(())
    }

    /// The lists name no segment that is not there.
    async fn segment_lists(&mut self) -> Result<(), CatalogError> {
        let snap = self.snap.clone();
        for list in [&SEGMENTS_OF_GROUP, &DEGRADED] {
            let mut walk = Walk::new(list, &snap, Span::all(), PAGE);
            while let Some(page) = walk.next().await? {
                for ((group, id), ()) in page {
                    let row = SEGMENTS.get(&snap, &id).await?;
                    self.expect(row.is_some_and(|row| row.group == group), 5, || {
                        format!("{} names segment {id} of group {group}", list.name())
                    });
                }
            }
        }
        Ok(())
    }

    async fn members(&mut self) -> Result<(), CatalogError> {
        let mut members = BTreeSet::new();
        let mut doubled = Vec::new();
        for (id, group) in &self.groups {
            let nodes: Vec<NodeId> = group.slots.iter().filter_map(|slot| slot.node).collect();
            doubled.extend(nodes.iter().filter(|node| !members.insert((**node, *id))).map(|_| *id));
        }
        for id in doubled {
            self.broken(8, format!("a node fills two slots of group {id}"));
        }
        let listed = keys(&self.snap, &GROUPS_OF_NODE).await?;
        for (node, id) in members.symmetric_difference(&listed) {
            self.broken(8, format!("group {id} and the list of node {node} disagree"));
        }
        Ok(())
    }

    /// Nothing was left behind under a manifest.
    async fn belongings(&mut self) -> Result<(), CatalogError> {
        let snap = self.snap.clone();
        for manifest in keys(&snap, &DETAILS).await? {
            let owned =
                matches!(self.owners.get(&manifest), Some(owner) if *owner != Owner::Upload);
            self.belongs(owned, manifest, "detail");
        }
        for manifest in keys(&snap, &INLINE).await? {
            let owned = self.owners.get(&manifest) == Some(&Owner::Inline);
            self.belongs(owned, manifest, "inline body");
        }
        for (manifest, page) in keys(&snap, &EXTENTS).await? {
            let owned = match self.owners.get(&manifest) {
                Some(Owner::Extents { pages }) => page < *pages,
                // A Complete writes its pages ahead if they are many.
                Some(Owner::Upload) => true,
                Some(Owner::Inline | Owner::DeleteMarker) | None => false,
            };
            self.belongs(owned, manifest, "page of extents");
        }
        for (manifest, _) in keys(&snap, &PARTS).await? {
            let owned = self.owners.get(&manifest) == Some(&Owner::Upload);
            self.belongs(owned, manifest, "part");
        }
        for (manifest, stream) in keys(&snap, &WRAPS).await? {
            let of_pair = (stream, manifest, 0)..=(stream, manifest, u32::MAX);
            let owned = self.owners.get(&manifest) == Some(&Owner::Inline)
                || self.wanted.range(of_pair).next().is_some();
            self.belongs(owned, manifest, "wrap");
        }
        Ok(())
    }

    fn belongs(&mut self, owned: bool, manifest: ManifestId, what: &str) {
        let fine = owned || self.releases.contains(&manifest);
        self.expect(fine, 10, || format!("nobody owns a {what} of manifest {manifest}"));
    }
}

/// All keys of a table.
async fn keys<K, V>(snap: &Snap, table: &Table<K, V>) -> Result<BTreeSet<K>, CatalogError>
where
    K: KeyCodec + Ord,
    V: Serialize + DeserializeOwned,
{
    let (mut all, mut walk) = (BTreeSet::new(), Walk::new(table, snap, Span::all(), PAGE));
    while let Some(page) = walk.next().await? {
        all.extend(page.into_iter().map(|(key, _)| key));
    }
    Ok(all)
}

/// All rows of a table.
async fn rows<K, V>(snap: &Snap, table: &Table<K, V>) -> Result<BTreeMap<K, V>, CatalogError>
where
    K: KeyCodec + Ord,
    V: Serialize + DeserializeOwned,
{
    let (mut all, mut walk) = (BTreeMap::new(), Walk::new(table, snap, Span::all(), PAGE));
    while let Some(page) = walk.next().await? {
        all.extend(page);
    }
    Ok(all)
}
