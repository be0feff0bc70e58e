import Testing

/// Real faults: failing system calls, full disks, power cuts, many processes.
///
/// One after another, because they need the machine's disks, cores and mounts, and measure time.
@Suite(.blockingInTurn, .serialized) enum Faults {}

/// Processes that are killed. One after another, beside ``Faults``: each half takes minutes and keeps one core busy.
@Suite(.blockingInTurn, .serialized) enum Kills {}
