//! What each volume version shows, worked out from what happened: the oracle of thinning.

use std::collections::BTreeSet;

/// A version of a blob: its place among the oracle's blobs, and its number.
pub type Content = (usize, u64);

/// What one volume version shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The file that everybody writes to.
    pub file: Option<Content>,
    /// The copy that was made of it.
    pub copy: Option<Content>,
}

impl Shown {
    fn contents(self) -> impl Iterator<Item = Content> {
        self.file.into_iter().chain(self.copy)
    }
}

/// All volume versions.
#[derive(Clone, Debug, Default)]
pub struct Past {
    shown: Vec<Shown>,
    pub thinned: BTreeSet<u64>,
}

impl Past {
    /// An empty file came to be with version `latest`; `content` is what it has.
    pub fn new(latest: u64, content: Content) -> Self {
        let mut shown = vec![Shown::default(); latest as usize];
        shown.push(Shown { file: Some(content), copy: None });
        Self { shown, thinned: BTreeSet::new() }
    }

    pub fn latest(&self) -> u64 {
        self.shown.len() as u64 - 1
    }

    pub fn at(&self, n: u64) -> Shown {
        self.shown[n as usize]
    }

    pub fn newest(&self) -> Shown {
        self.at(self.latest())
    }

    /// The next version shows something else.
    pub fn change(&mut self, change: impl FnOnce(&mut Shown)) {
        let mut next = self.newest();
        change(&mut next);
        self.shown.push(next);
    }

    /// A version of a blob was published. Without a number of its own it replaces the one that its file shows, if that is of the
    /// same blob, in every version that shows it.
    pub fn publish(&mut self, content: Content, takes_number: bool) {
        if takes_number {
            self.change(|shown| shown.file = Some(content));
            return;
        }
        let old = self.newest().file;
        if old.is_some_and(|(blob, _)| blob == content.0) {
            self.shown.iter_mut().rev().take_while(|shown| shown.file == old).for_each(|shown| shown.file = Some(content));
        }
    }

    /// Versions that are neither the newest nor thinned, and show something.
    pub fn thinnable(&self) -> impl Iterator<Item = u64> {
        let shows = |n: &u64| self.at(*n).contents().any(|(_, version)| version > 0);
        (1..self.latest()).filter(move |n| shows(n) && !self.thinned.contains(n))
    }

    pub fn is_kept(&self, n: u64) -> bool {
        !self.thinned.contains(&n)
    }

    /// Everything that kept versions show.
    pub fn kept(&self) -> BTreeSet<Content> {
        (1..=self.latest()).filter(|n| self.is_kept(*n)).flat_map(|n| self.at(n).contents()).collect()
    }

    /// Everything that version `n` shows.
    pub fn contents_at(&self, n: u64) -> impl Iterator<Item = Content> + use<> {
        self.at(n).contents()
    }
}
