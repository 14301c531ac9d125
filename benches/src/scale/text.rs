//! The report, as Markdown.

use super::messages::{FAN_OUT, FRAME_PAGES, Messages, PAGE, nodes_of_write, of_write};
use super::model::{self, Resource, WORK, last};
use super::{Findings, Size};
use crate::about::About;
use std::fmt::{self, Write};
use weft_benches::stage::Tally;
use weft_common::limits::{CLIENT_SYNC, HEARTBEAT, MAP_REFRESH, SESSION_RENEWAL};

/// Writes a table: its head, and its rows.
fn table<const N: usize>(text: &mut String, head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> fmt::Result {
    writeln!(text, "\n| {} |\n|{}", head.join(" | "), "---|".repeat(N))?;
    for row in rows {
        writeln!(text, "| {} |", row.join(" | "))?;
    }
    writeln!(text)
}

/// The whole report.
pub(super) fn report(findings: &Findings, about: &About) -> String {
    let mut text = String::new();
    // A String takes everything.
    let _ = write(&mut text, findings, about);
    text
}

fn write(text: &mut String, findings: &Findings, about: &About) -> fmt::Result {
    let Size { data, metadata, clients, copies } = findings.size;
    writeln!(text, "# {data} data providers, {clients} mounts: what breaks first\n")?;
    writeln!(
        text,
        "Written by `cargo run --release -p weft-benches -- scale`; do not edit. Messages and bytes are counted: the real client library, version \
         manager and metadata service in one process, with a cluster map of this size ({data} data, {metadata} metadata providers, {copies} copies; \
         pages of 1 MiB, fan-out {FAN_OUT}). Costs are measured with the real cores on one machine in the same run, and differ with the machine; \
         nothing else does. What a cluster needs follows by multiplication (`benches/src/scale/model.rs`)."
    )?;
    first(text, findings)?;
    sent(text, findings)?;
    processors(text, findings)?;
    clock(text, findings)?;
    clients_curve(text, findings)?;
    providers_curve(text, findings)?;
    files_curve(text, findings)?;
    small_print(text, findings.size)?;
    machine(text, findings, about)
}

fn resources(findings: &Findings, watched: bool) -> Vec<Resource> {
    let Findings { size, map, map_bytes, counted, costs, .. } = findings;
    let mut all = model::resources(*size, map, *map_bytes, counted, costs, watched);
    all.sort_by_key(|resource| resource.clients_max().unwrap_or(u64::MAX));
    all
}

fn first(text: &mut String, findings: &Findings) -> fmt::Result {
    writeln!(text, "\n## What breaks first\n")?;
    writeln!(
        text,
        "Each mount writes a frame of 8 MiB every {:.0} s and reads four: {:.0} GB/s written and {:.0} GB/s read by all. Two things stand in the \
         way: bounds that the implementation sets itself, which are met with a clear error, and work that grows with the cluster.",
        1.0 / WORK.frames_written,
        WORK.frames_written * frame_bytes() * findings.size.clients as f64 / 1e9,
        WORK.frames_read * frame_bytes() * findings.size.clients as f64 / 1e9
    )?;
    let bounds = model::bounds(findings.size, findings.map_bytes);
    let row = |bound: &model::Bound| {
        let verdict = if bound.needed > bound.bound { "**no**" } else { "yes" };
        [bound.name.into(), bound.bound.to_string(), bound.needed.to_string(), verdict.into(), bound.remedy.into()]
    };
    table(text, ["bound (`common/src/limits.rs`)", "is", "needed", "enough", "what lifts it"], bounds.iter().map(row))?;
    writeln!(
        text,
        "The map fits one answer with up to about {} data providers. Beyond the bounds, the resources, the scarcest first. \"Mounts\" is how many \
         of them use it up; 0: it is used up before the first one comes.",
        findings.providers_max
    )?;
    let row = |resource: &Resource| {
        let most = resource.clients_max().map_or("any number".to_owned(), |clients| clients.to_string());
        let used = percent(resource.used(findings.size.clients));
        [resource.name.into(), most, used, resource.load.clone(), resource.remedy.into()]
    };
    table(text, ["resource", "mounts", "used here", "load", "what lifts it"], resources(findings, false).iter().map(row))?;
    writeln!(
        text,
        "Mounts that follow the changes of a volume (`Watch`; by default a mount of a cluster does not, it asks at every step of a path) would fill \
         a link of 10 Gbit/s at {} mounts of one volume: every change is told to everybody, so the load is the square of their number.",
        model::watchers_max()
    )
}

fn frame_bytes() -> f64 {
    FRAME_PAGES as f64 * PAGE as f64
}

/// The one operation of which what is sent by the clock is part.
const JOINS: &str = "a mount that joins: map, session, volume";

fn sent(text: &mut String, findings: &Findings) -> fmt::Result {
    let counted = &findings.counted;
    let per_gb = 1e9 / frame_bytes();
    let page_per_gb = 1e9 / PAGE as f64;
    writeln!(text, "\n## What is sent\n")?;
    writeln!(
        text,
        "Requests with their answers; bytes of both. The look-up of a new file finds nothing, and is one of its messages."
    )?;
    let operations: [(&str, &Tally, f64); 5] = [
        ("a GB written as frames of 8 MiB", &counted.frame, per_gb),
        ("a GB read as such frames", &counted.frame_read, per_gb),
        ("a GB written as pages here and there in a file of 1 TiB, nothing cached", &counted.patch, page_per_gb),
        ("1000 files of 4 KiB", &counted.small, 1000.0),
        (JOINS, &counted.mount, 1.0),
    ];
    let mut rows = Vec::new();
    for (name, tally, times) in operations {
        for (role, calls, bytes) in model::by_role(tally, name == JOINS) {
            let without_pages =
                if role == "data providers" { String::new() } else { format!("{:.0}", bytes as f64 * times / 1000.0) };
            let nodes = if role == "metadata providers" {
                format!("{:.0}", (tally.nodes_put + tally.nodes_got) as f64 * times)
            } else {
                String::new()
            };
            rows.push([name.into(), role.into(), format!("{:.0}", calls as f64 * times), nodes, without_pages]);
        }
        if tally.commands > 0 {
            let (commands, bytes) = (tally.commands as f64 * times, tally.logged_bytes as f64 * times / 1000.0);
            rows.push([name.into(), "the log (commands)".into(), format!("{commands:.0}"), String::new(), format!("{bytes:.0}")]);
        }
    }
    table(text, ["", "to", "messages", "nodes, copies included", "kB without pages"], rows)?;
    writeln!(
        text,
        "A file that is written with its nodes in the ticket and committed by it (which is being \
         built) saves the message to the metadata providers, one of two messages to the version manager and one of its three commands."
    )
}

fn processors(text: &mut String, findings: &Findings) -> fmt::Result {
    let Findings { counted, costs, size, .. } = findings;
    let per_gb = 1e9 / frame_bytes();
    let copies = f64::from(size.copies);
    let calls = |tally: &Tally, end: &str| -> f64 {
        tally.foreground().filter(|(kind, _)| kind.ends_with(end)).map(|(_, count)| count.calls as f64).sum::<f64>() * per_gb
    };
    let manager = |tally: &Tally| model::manager_calls(tally) * per_gb;
    writeln!(text, "\n## Processors\n")?;
    writeln!(text, "Seconds of a processor for a GB, by whom they are spent (without FUSE and programs).")?;
    let choice = last(&costs.choice) * per_gb * FRAME_PAGES as f64;
    let core = (costs.create + costs.ticket_and_commit + costs.look_up) * per_gb;
    let rows = [
        ("client: pages", copies * costs.page_gb, costs.page_gb),
        (
            "client: small calls",
            (manager(&counted.frame) + calls(&counted.frame, "nodes")) * costs.call,
            (manager(&counted.frame_read) + calls(&counted.frame_read, "nodes")) * costs.call,
        ),
        ("client: choosing groups from the map", choice, 0.0),
        ("data providers", copies * (costs.page_gb + costs.store_gb), costs.page_gb),
        ("metadata providers", calls(&counted.frame, "nodes") * costs.call, calls(&counted.frame_read, "nodes") * costs.call),
        (
            "version manager",
            manager(&counted.frame) * costs.call + core,
            manager(&counted.frame_read) * (costs.call + costs.look_up),
        ),
    ];
    table(
        text,
        ["", "written", "read"],
        rows.map(|(name, written, read)| [name.into(), format!("{written:.4}"), format!("{read:.4}")]),
    )
}

fn clock(text: &mut String, findings: &Findings) -> fmt::Result {
    let Size { data, metadata, clients, copies } = findings.size;
    let clients = clients as f64;
    let providers = f64::from(data + metadata);
    let puts = WORK.frames_written * FRAME_PAGES as f64 * f64::from(copies);
    let connections = model::bounds(findings.size, findings.map_bytes)[1].needed;
    writeln!(text, "\n## What is sent by the clock\n")?;
    writeln!(text, "Whether or not anybody works. Of all clients and providers together, a second.")?;
    let rows = [
        (
            format!("questions for the map, each client in {} s", MAP_REFRESH.as_secs()),
            clients / MAP_REFRESH.as_secs_f64(),
            "provider manager",
        ),
        (
            format!("renewals of sessions, each client in {} s", SESSION_RENEWAL.as_secs()),
            clients / SESSION_RENEWAL.as_secs_f64(),
            "version manager",
        ),
        (
            format!("heartbeats, each provider in {} s", HEARTBEAT.as_secs()),
            providers / HEARTBEAT.as_secs_f64(),
            "provider manager",
        ),
        (
            format!(
                "syncs: each client in {} s, every data provider that took a page of it since; in so large a cluster one for almost each page",
                CLIENT_SYNC.as_secs()
            ),
            clients * puts,
            "data providers",
        ),
        (
            format!("keep-alives of QUIC, if connections were not bounded: {connections} of a client after an hour"),
            clients * model::keep_alives(connections),
            "all",
        ),
    ];
    table(text, ["what", "a second", "to"], rows.map(|(what, rate, to)| [what, format!("{rate:.0}"), to.into()]))
}

fn clients_curve(text: &mut String, findings: &Findings) -> fmt::Result {
    writeln!(text, "\n## As mounts grow\n")?;
    writeln!(text, "How much of each resource is used, with {} data providers.", findings.size.data)?;
    let row = |resource: &Resource| {
        let used = |clients| percent(resource.used(clients));
        [resource.name.into(), used(100), used(1000), used(10_000), used(100_000), used(1_000_000)]
    };
    table(text, ["resource", "100", "1000", "10,000", "100,000", "1,000,000"], resources(findings, true).iter().map(row))
}

fn providers_curve(text: &mut String, findings: &Findings) -> fmt::Result {
    let Findings { costs, size, .. } = findings;
    writeln!(text, "\n## As providers grow\n")?;
    writeln!(
        text,
        "With a metadata provider to {} data providers. Measured: the provider manager's answer to a question for the map (real service, a \
         roster of that size), what a client computes to place one page (real client, no network), ticket, node and commit of it (with two syncs \
         of the log; what grows is the choice of metadata providers), and reading the roster again after a logged heartbeat.",
        size.data / size.metadata.max(1)
    )?;
    let points = costs.map_question.iter().zip(&costs.choice).zip(&costs.publish).zip(&costs.roster);
    let rows = points.map(|((((data, question), (_, choice)), (_, publish)), (_, roster))| {
        let map = super::cluster::map(Size { data: *data, metadata: (data * size.metadata / size.data).max(3), ..*size });
        let bytes = super::map_bytes(&map).unwrap_or_default();
        [
            data.to_string(),
            map.groups.len().to_string(),
            format!("{:.2}", bytes as f64 / 1e6),
            format!("{:.3}", question * 1e3),
            format!("{:.3}", choice * 1e3),
            format!("{:.2}", publish * 1e3),
            format!("{:.2}", roster * 1e3),
        ]
    });
    table(
        text,
        ["data providers", "groups", "map, MB", "question, ms", "placing a page, ms", "publishing it, ms", "roster, ms"],
        rows,
    )?;
    let joins: Vec<String> =
        costs.join.iter().map(|(data, seconds)| format!("{:.1} ms for number {data}", seconds * 1e3)).collect();
    let (one, all) = extrapolated(&costs.join, size.data);
    writeln!(
        text,
        "A data provider that joins is put into groups by going through all groups for each possible partner: {}. Partners times groups is the \
         square of the number of providers: number {} would take at least {}, all of them together {}, and the version manager does nothing else \
         meanwhile. A count of groups that is kept for each provider makes it microseconds.",
        joins.join(", "),
        size.data,
        span(one),
        span(all)
    )
}

/// By the square law from the last point: the cost at `most`, and the sum of all up to there.
fn extrapolated(curve: &[(u32, f64)], most: u32) -> (f64, f64) {
    let (providers, seconds) = curve.last().copied().unwrap_or((1, 0.0));
    let one = seconds * (f64::from(most) / f64::from(providers)).powi(2);
    (one, one * f64::from(most) / 3.0)
}

fn span(seconds: f64) -> String {
    match seconds {
        short if short < 120.0 => format!("{short:.1} s"),
        medium if medium < 7200.0 => format!("{:.0} minutes", medium / 60.0),
        long if long < 172_800.0 => format!("{:.0} hours", long / 3600.0),
        long => format!("{:.0} days", long / 86_400.0),
    }
}

fn files_curve(text: &mut String, findings: &Findings) -> fmt::Result {
    writeln!(text, "\n## As files and histories grow\n")?;
    writeln!(
        text,
        "Nodes of an update of one page and of 8, and the messages that bring them to {} metadata providers, {} copies: log of the size. The number \
         of versions does not occur in it, nor that of files or mounts; `weft-benches growth` counts that with the real client for 1 to 1,000,000 \
         versions.",
        findings.size.metadata, findings.size.copies
    )?;
    let published = &findings.counted.published;
    let sizes = [("8 MiB", 23), ("1 GiB", 30), ("32 GiB", 35), ("1 TiB", 40), ("1 PiB", 50)];
    let rows = sizes.map(|(name, power)| {
        let pages = (1u64 << power) / PAGE;
        let of = |fan_out, count: u64| {
            let nodes =
                nodes_of_write(published.blob, published.blob_version, fan_out, (pages / 2) & !7, count.min(pages), pages);
            let Messages { nodes, node_puts, .. } = of_write(&findings.map, findings.size.copies, count, &nodes);
            format!("{nodes} in {node_puts}")
        };
        [name.into(), of(FAN_OUT, 1), of(FAN_OUT, FRAME_PAGES), of(2, 1), of(2, FRAME_PAGES)]
    });
    table(text, ["file", "1 page, fan-out 32", "8 pages", "1 page, fan-out 2", "8 pages"], rows)?;
    writeln!(text, "(\"3 in 6\": 3 nodes, each stored by as many providers as copies, in 6 messages.)")
}

fn small_print(text: &mut String, size: Size) -> fmt::Result {
    let frames = WORK.frames_written * f64::from(size.copies) + WORK.frames_read;
    let each = size.clients as f64 * frames * frame_bytes() / f64::from(size.data) / 1e6;
    writeln!(text, "\n## What the model leaves out\n")?;
    writeln!(text, "- What the data providers' disks take: each takes in and sends {each:.0} MB/s.")?;
    let points = [
        "What the node engine needs for a node, some 3 µs, beside the message that brings it.",
        "Links and switches between machines, and losses: QUIC's acknowledgements and repetitions beyond what a loopback shows.",
        "Bursts: all loads are means. 100,000 mounts that start together ask for 100,000 maps.",
        "Retention and collection (as much is deleted in the long run as is written: a message for up to 16,384 objects), helpers, fsck.",
        "Leases on names, which the main line is about to get, and updates whose ticket is their commit. Both take look-ups and commands from the version manager; neither changes what comes first in the tables.",
        "Free space: a map's epoch is raised when a provider's free space has moved by a sixteenth *since the last heartbeat*, since each heartbeat replaces the figure that it is compared with. So clients of a cluster in which nobody comes or goes place pages by the space that there was when they came.",
    ];
    points.iter().try_for_each(|point| writeln!(text, "- {point}"))
}

fn machine(text: &mut String, findings: &Findings, about: &About) -> fmt::Result {
    let costs = &findings.costs;
    writeln!(text, "\n## Costs that were measured\n")?;
    writeln!(text, "Of this run. Both ends of a call ran in one process and count for half of its processor time each.")?;
    let rows = [
        ("one end of a small call over QUIC (32 in flight)", format!("{:.1} µs of a processor", costs.call * 1e6)),
        ("one end of page calls of 1 MiB over QUIC", format!("{:.2} s of a processor a GB", costs.page_gb)),
        ("page engine, put and sync", format!("{:.2} s of a processor a GB", costs.store_gb)),
        ("version core: a creation", format!("{:.1} µs", costs.create * 1e6)),
        ("version core: ticket and commit of a frame", format!("{:.1} µs", costs.ticket_and_commit * 1e6)),
        ("version core: a look-up", format!("{:.2} µs", costs.look_up * 1e6)),
        ("4 KiB behind the end of a file, and its sync", format!("{:.2} ms", costs.sync * 1e3)),
    ];
    table(text, ["what", "cost"], rows.map(|(what, cost)| [what.into(), cost]))?;
    let facts = about.facts().filter(|(name, _)| *name != "commit").map(|(name, value)| [name.to_owned(), value.to_owned()]);
    table(text, ["machine and run", ""], facts)
}

fn percent(share: f64) -> String {
    match share * 100.0 {
        much if much >= 10_000.0 => format!("{:.0}x", share),
        some if some >= 10.0 => format!("{some:.0} %"),
        some if some >= 0.1 => format!("{some:.1} %"),
        _ => "< 0.1 %".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_square_law_goes_on() {
        let square = |providers: u32| (providers, 1e-6 * f64::from(providers).powi(2));
        let (one, all) = extrapolated(&[square(10), square(100), square(200)], 1000);
        assert!((one - 1.0).abs() < 1e-9 && (all - 1000.0 / 3.0).abs() < 1e-6);
    }

    #[test]
    fn a_table_is_one() {
        let mut text = String::new();
        table(&mut text, ["a", "b"], [["1".to_owned(), "2".to_owned()]]).unwrap();
        assert_eq!(text, "\n| a | b |\n|---|---|\n| 1 | 2 |\n\n");
    }
}
