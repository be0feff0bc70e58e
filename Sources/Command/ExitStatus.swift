import Fleet
import Server
import WeightStore

/// What a run of the tool ends with; scripts tell failures apart by it.
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
    case interrupted = 130

    static let help = """
        Exit status: 0 done; 1 failed otherwise; 2 no such model, revision, file or tensor; 3 stored bytes are damaged \
        or missing; 4 pinned, in use, or somebody else was faster; 5 disk or quota full; 6 the files to import break their format's rules or are \
        incomplete; 7 no store there, or one that can't be opened; 8 an origin can't be reached; 9 it wants a \
        token; 10 it gave other bytes than were expected; 11 not \
        what the fleet has; 64 wrong usage; 130 interrupted.
        """

    /// - Returns: nil for errors that are not the library's.
    init?(_ error: any Error) {
        switch error {
        case is FormatError: self = .badInput
        case is CancellationError: self = .interrupted
        case let error as StoreError:
            switch error {
            case .pinned, .inUse: self = .held
            case .quotaFull: self = .diskFull
            case .incomplete, .sourceChanged: self = .badInput
            case .originFailed, .originDiffers: self = .failed
            }
        case let error as StorageError:
            switch error {
            case .notFound, .ambiguous: self = .notFound
            case .damaged, .missing: self = .damaged
            case .busy, .olderProcesses: self = .held
            case .invalid: self = .badInput
            case .notAStore, .newerSchema, .catalogDamaged: self = .badStore
            case .catalogFailed: self = .failed
            }
        case let error as FileError:
            switch error {
            case .diskFull: self = .diskFull
            case .networkFileSystem: self = .badStore
            case .system, .lockedMemoryLimit: self = .failed
            }
        case let error as PolicyError:
            switch error {
            case .refused: self = .badInput
            case .tooSlow: self = .failed
            }
        case is TierError, is DeviceError, is SupportError, is ServerError: self = .failed
        case let error as FetchError:
            switch error {
            case .notFound, .noOrigin: self = .notFound
            case .wrongDigest, .wrongLength, .wrongRange, .pageInsteadOfFile, .malformed: self = .badAnswer
            case .unauthorized, .expired: self = .notAllowed
            default: self = .unreachable
            }
        case let error as FleetError:
            switch error {
            case .unknown: self = .notFound
            case .lostRace, .refMoved, .busy, .givenUp: self = .held
            case .malformed: self = .badAnswer
            case .etcd: self = .unreachable
            case .unusable: self = .failed
            }
        default: return nil
        }
    }
}
