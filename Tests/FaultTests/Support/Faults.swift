import Testing

/// Faults made for real: kills, failing system calls, full disks, power cuts, crowds of processes.
///
/// One after another, because they need the machine's disks, cores and mounts, and measure time.
@Suite(.blockingInTurn, .serialized) enum Faults {}
