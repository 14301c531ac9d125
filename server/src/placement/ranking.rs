//! Rendezvous hashing: the metadata providers of each partition, best first. Pure.
//!
//! Every pair (partition, provider) has a weight that depends on nothing else; a partition's ranking is its providers in
//! order of weight. When a provider joins, it takes its share from everybody and nothing else moves (Thaler, Ravishankar 1998).

use weft_common::id::ProviderId;
use weft_common::limits::METADATA_PARTITIONS;

/// For each partition all of `providers`, best first.
#[must_use]
pub fn rank(providers: &[ProviderId]) -> Vec<Vec<ProviderId>> {
    if providers.is_empty() {
        return Vec::new();
    }
    (0..METADATA_PARTITIONS)
        .map(|partition| {
            let mut ranked = providers.to_vec();
            ranked.sort_by_key(|provider| std::cmp::Reverse((weight(partition, *provider), provider.0)));
            ranked
        })
        .collect()
}

/// The finaliser of MurmurHash3 (public domain) over both numbers: every bit of the input reaches every bit of the weight.
fn weight(partition: u16, provider: ProviderId) -> u64 {
    let mut mixed = (u64::from(partition) << 32) | u64::from(provider.0);
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newcomer_takes_its_share_and_moves_nothing_else() {
        let few: Vec<ProviderId> = (1..=4).map(ProviderId).collect();
        let more: Vec<ProviderId> = (1..=5).map(ProviderId).collect();
        let (before, after) = (rank(&few), rank(&more));
        let newcomer = ProviderId(5);
        for (old, new) in before.iter().zip(&after) {
            let without: Vec<ProviderId> = new.iter().copied().filter(|id| *id != newcomer).collect();
            assert_eq!(*old, without);
        }
        let first = after.iter().filter(|ranked| ranked[0] == newcomer).count();
        assert!((5..=25).contains(&first), "{first} of {METADATA_PARTITIONS} partitions went to the newcomer, a fifth is fair");
    }

    #[test]
    fn without_providers_there_are_no_partitions() {
        assert!(rank(&[]).is_empty());
    }
}
