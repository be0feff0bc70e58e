import Glibc
import Dispatch
import WeightStore

/// What `weightstore doctor` examines: a directory, and the store in it, if that can be opened.
struct DoctorSubject {
    /// The limit of each check that waits for a disk, another process or the network.
    static let limit = Duration.seconds(5)

    let path: String
    /// Whether there is anything at the path.
    let exists: Bool
    /// The free bytes and the size of the disk, before the store is opened: on a full disk that releases the reserve.
    let space: (available: Int, total: Int)?
    /// Lease files of dead processes, before the store is opened: opening removes them.
    let deadLeases: [String]
    /// The store; nil if it cannot be opened.
    let store: Store?
    /// Why it cannot be opened.
    let failure: (any Error)?

    init(_ location: StoreLocation) {
        path = location.path
        exists = FileSystem.exists(path)
        // Errors are reported by the permissions.
        space = exists ? try? FileSystem.space(path) : nil
        deadLeases = (try? LeaseDirectory.dead(in: path + "/leases")) ?? []
        let work = Work()
        let timer = DispatchWorkItem { work.cancel() }
        DispatchQueue.global().asyncAfter(deadline: .now() + Self.limit / .seconds(1), execute: timer)
        defer { timer.cancel() }
        do {
            store = try StoreLocation.open(path, create: false, logger: location.logger, work: work)
            failure = nil
        } catch {
            store = nil
            failure = error
        }
    }

    /// A command of the tool that acts on this store.
    ///
    /// - Parameter user: the user who has to run it, by `sudo`, which hides the variables that choose a store; nil is
    ///   the present user.
    func command(_ words: String..., as user: String? = nil) -> String {
        let place = user == nil && path == Store.defaultPath ? [] : ["--store", path]
        return ShellCommand.line((user.map { ["sudo", "-u", $0] } ?? []) + ["weightstore"] + words + place)
    }
}

/// One thing that `weightstore doctor` examines.
protocol DoctorCheck {
    /// The name, as in its lines.
    static var name: String { get }
    /// Adds what the check finds. An error that it throws is a fault.
    static func run(_ subject: DoctorSubject, _ findings: inout DoctorFindings) throws
}
