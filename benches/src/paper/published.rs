//! What the paper says (Nicolae, Antoniu, Bougé: "Enabling High Data Throughput in Desktop Grids through Decentralized Data and Metadata
//! Management: The BlobSeer Approach", Euro-Par 2009, LNCS 5704, pp. 404–416), and what WeftFS is held to.
//!
//! Where the figures come from: the text of the paper was not at hand when this was written, so they are **as the project's issue
//! quotes them**: 117.5 MB/s for TCP on the paper's 1 Gbit/s Ethernet; one writer at 98 % of that; 60 writers on 60 providers at 87 %; with
//! pages of 64 KB 62 MB/s a writer with one metadata provider and 75 MB/s with many (53 % and 64 %); 7 to 11 % less with clients on the
//! providers' machines; 360 writers at 64 %. How many writers and providers stood behind 62 and 75, which pages behind 98 and 87 %, and
//! what the 64 % of 360 writers are a share of, the issue does not say. Here they are taken for any page size (62 and 75: for 64 KiB
//! alone), for 60 writers on 60 providers, and for a share of what the wires of the 60 providers carry. The points in between are not known, and
//! nothing is drawn for them.

use super::plan::Figure;

/// What the authors measured for TCP on their wire, in MB/s.
pub(crate) const TCP_MB_PER_SECOND: f64 = 117.5;

/// Which measurements a figure of the paper is to be held against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reference {
    pub(crate) figure: Figure,
    /// The place on the axis; any if `None`.
    x: Option<u64>,
    /// Size of pages in KiB; any if `None`.
    page_kib: Option<u32>,
    /// The paper's share of the wire.
    pub(crate) paper: f64,
    /// The least that is asked of WeftFS.
    pub(crate) target: Option<f64>,
}

const fn reference(figure: Figure, x: Option<u64>, page_kib: Option<u32>, paper: f64, target: Option<f64>) -> Reference {
    Reference { figure, x, page_kib, paper, target }
}

/// All that is known.
const REFERENCES: [Reference; 6] = [
    reference(Figure::IsolatedWrite, None, None, 0.98, Some(0.98)),
    reference(Figure::Apart, Some(1), Some(64), 62.0 / TCP_MB_PER_SECOND, None),
    reference(Figure::Apart, Some(60), Some(64), 75.0 / TCP_MB_PER_SECOND, Some(0.85)),
    reference(Figure::Writers, Some(1), None, 0.98, Some(0.98)),
    reference(Figure::Writers, Some(60), None, 0.87, Some(0.90)),
    reference(Figure::Writers, Some(360), None, 0.64, Some(0.80)),
];

/// What clients on the providers' machines cost the paper: between these shares.
pub(crate) const CO_DEPLOYMENT_COST: [f64; 2] = [0.07, 0.11];
/// What they may cost WeftFS.
pub(crate) const CO_DEPLOYMENT_COST_MAX: f64 = 0.05;

/// What the paper has to say to a measurement.
pub(crate) fn reference_for(figure: Figure, x: u64, page_kib: u32) -> Option<&'static Reference> {
    let fits = |reference: &&Reference| {
        reference.figure == figure
            && reference.x.is_none_or(|known| known == x)
            && reference.page_kib.is_none_or(|known| known == page_kib)
    };
    REFERENCES.iter().find(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_paper_says_is_found_where_it_said_it() {
        let share = |figure, x, page_kib| reference_for(figure, x, page_kib).map(|found| (found.paper * 100.0).round());
        assert_eq!(share(Figure::IsolatedWrite, 15, 1024), Some(98.0));
        assert_eq!((share(Figure::Apart, 1, 64), share(Figure::Apart, 60, 64)), (Some(53.0), Some(64.0)));
        assert_eq!((share(Figure::Apart, 60, 1024), share(Figure::Apart, 15, 64)), (None, None));
        assert_eq!((share(Figure::Writers, 360, 64), share(Figure::IsolatedRead, 60, 1024)), (Some(64.0), None));
    }
}
