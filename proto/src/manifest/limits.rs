//! How much a manifest may hold.

/// Bounds on what decoding accepts; checked while decoding, not after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The encoded manifest in bytes.
    pub manifest_bytes_max: usize,
    /// Entries of the tree.
    pub entries_max: usize,
    /// The sum of the sizes of all files and packs in bytes.
    pub content_bytes_max: u64,
    /// Repositories, and apart from them new repositories.
    pub repositories_max: usize,
    /// References of all repositories together.
    pub refs_max: usize,
    /// Index entries of all repositories together.
    pub index_entries_max: usize,
    /// Operations in progress of one repository, and heads of one of them (an octopus merge).
    pub heads_max: usize,
}

impl Limits {
    /// Twenty times the largest trees that people work in (Chromium has some 400,000 files).
    pub const DEFAULT: Self = Self {
        manifest_bytes_max: 1 << 30,
        entries_max: 8_000_000,
        content_bytes_max: 1 << 42,
        repositories_max: 10_000,
        refs_max: 2_000_000,
        index_entries_max: 8_000_000,
        heads_max: 1_000,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
