import Fleet
import Glibc
import Mount
import Server
import WeightStore

/// The exit status of the tool; scripts distinguish failures by it.
enum ExitStatus: Int32 {
    case failed = 1
    case notFound = 2
    case damaged = 3
    case held = 4
    case diskFull = 5
    case badInput = 6
    case badStore = 7
    case unreachable = 8
    case notAllowed = 9
    case badAnswer = 10
    case behind = 11
    case unchecked = 12
    /// An eviction freed less than was requested.
    case tooLittle = 13
    /// The system refuses: the permissions of a file or a directory, or a resource that only root may use.
    case notPermitted = 14
    /// `doctor` found a fault.
    case faulty = 15
    case usage = 64
    case interrupted = 130

    static let help = """
        Exit status: 0 success; 1 any other failure; 2 no such model, revision, file or tensor; 3 stored bytes are \
        damaged or missing, or differ from a hub's; 4 pinned, in use, or lost a race with another writer; 5 disk or \
        quota full; 6 invalid input, or files to import that are damaged, incomplete or violate their format; 7 no \
        store, one that cannot be opened, or one whose catalog and blobs do not belong together; 8 origin \
        unreachable; 9 the origin requires a token or credentials; 10 the origin sent unexpected bytes; 11 the store \
        is behind the fleet; 12 an origin could not be checked; 13 an eviction freed less than requested; 14 the \
        permissions of a file do not allow it; 15 doctor found a fault; 64 wrong usage; 130 interrupted.
        """

    /// - Returns: nil for errors that are not the library's.
    init?(_ error: any Error) {
        switch error {
        case ServerError.bind, is MountError: self = .failed
        case ServerError.token, ServerError.certificate: self = .badInput
        case let error as FleetError:
            switch error {
            case .unknown: self = .notFound
            case .lostRace, .refMoved, .busy, .expired: self = .held
            case .malformed: self = .badAnswer
            case .etcd: self = .unreachable
            case .unusable: self = .badInput
            case .removesTooMuch: self = .failed
            case .inconsistent: self = .damaged
            }
        default:
            guard let status = Self.status(of: StoreError(error)) else { return nil }
            self = status
        }
    }

    private static func status(of error: StoreError) -> ExitStatus? {
        switch error {
        case .cancelled: .interrupted
        case .pinned, .inUse, .originNeeded, .neededElsewhere, .storage(.busy), .storage(.olderProcesses): .held
        case .quotaFull, .file(.diskFull): .diskFull
        case .originUnchecked: .unchecked
        case .blobDiffers, .incomplete, .sourceChanged, .originLacks, .moveInterrupted, .moveIntoAnother, .format,
            .storage(.invalid), .file(.tooLarge), .policy(.refused):
            .badInput
        case .storage(.notFound), .storage(.ambiguous), .storage(.removed): .notFound
        case .storage(.damaged), .storage(.missing), .storage(.tooManyMissing): .damaged
        case .storage(.notAStore), .storage(.newerSchema), .storage(.catalogDamaged), .storage(.catalogOlder),
            .storage(.foreignBlobs), .file(.networkFileSystem), .file(.notRegular):
            .badStore
        case .fetch(let error):
            switch error {
            case .notFound, .noOrigin, .commitGone: .notFound
            case .wrongDigest, .wrongLength, .wrongRange, .pageInsteadOfFile, .malformed: .badAnswer
            case .unauthorized, .expired, .badCredentials: .notAllowed
            case .unusable: .badInput
            default: .unreachable
            }
        case .originsFailed: status(of: error.cause)
        case .storage(.readOnly), .file(.system(_, _, EACCES)), .file(.system(_, _, EPERM)),
            .file(.system(_, _, EROFS)):
            .notPermitted
        case .originFailed, .originDiffers, .storage(.catalogFailed), .file(.system),
            .file(.lockedMemoryLimit), .file(.mappingLimit), .file(.openFileLimit), .policy(.tooSlow), .tier, .device,
            .support:
            .failed
        case .other: nil
        }
    }
}
