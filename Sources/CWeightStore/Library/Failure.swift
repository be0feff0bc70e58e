import CWeightStoreHeader
import Glibc
import Origins
import WeightStore

/// The last failure on a thread, as C reads it.
final class Failure {
    let status: weightstore_status
    let message: UnsafeMutablePointer<CChar>

    init(_ error: any Error) {
        status = weightstore_status(error)
        message = strdup("\(error)")
    }

    deinit { free(message) }

    private static let key: pthread_key_t = {
        var key = pthread_key_t()
        // Nothing to be done without: there are 1024 keys, and the process has used them up.
        precondition(pthread_key_create(&key) { Unmanaged<Failure>.fromOpaque($0!).release() } == 0, "pthread_key_create")
        return key
    }()

    static var last: Failure? {
        pthread_getspecific(key).map { Unmanaged<Failure>.fromOpaque($0).takeUnretainedValue() }
    }

    /// Keeps a failure in place of the one before.
    static func keep(_ error: any Error) -> weightstore_status {
        let failure = Failure(error)
        let old = pthread_getspecific(key)
        pthread_setspecific(key, Unmanaged.passRetained(failure).toOpaque())
        if let old { Unmanaged<Failure>.fromOpaque(old).release() }
        return failure.status
    }
}

/// Runs the body of a function of the interface.
func call(_ body: () throws -> Void) -> weightstore_status {
    do {
        try OwningProcess.check()
        try body()
        return WEIGHTSTORE_OK
    } catch {
        return Failure.keep(error)
    }
}

extension weightstore_status {
    fileprivate init(_ error: any Error) {
        self = switch error {
        case let error as CallError:
            switch error {
            case .argument: WEIGHTSTORE_INVALID_ARGUMENT
            case .handle: WEIGHTSTORE_INVALID_HANDLE
            case .forked: WEIGHTSTORE_FORKED
            case .unsupported: WEIGHTSTORE_UNSUPPORTED
            }
        case let error as StoreError:
            switch error {
            case .quotaFull: WEIGHTSTORE_DISK_FULL
            case .pinned, .inUse: WEIGHTSTORE_BUSY
            case .originFailed: WEIGHTSTORE_UNREACHABLE
            case .originDiffers: WEIGHTSTORE_BAD_ANSWER
            case .sourceChanged, .incomplete: WEIGHTSTORE_FAILED
            }
        case let error as StorageError:
            switch error {
            case .notFound, .ambiguous: WEIGHTSTORE_NOT_FOUND
            case .invalid: WEIGHTSTORE_INVALID_ARGUMENT
            case .damaged, .missing: WEIGHTSTORE_DAMAGED
            case .notAStore, .newerSchema, .olderProcesses, .catalogDamaged: WEIGHTSTORE_BAD_STORE
            case .busy: WEIGHTSTORE_BUSY
            case .catalogFailed: WEIGHTSTORE_FAILED
            }
        case let error as FileError:
            switch error {
            case .system: WEIGHTSTORE_SYSTEM
            case .diskFull: WEIGHTSTORE_DISK_FULL
            case .networkFileSystem: WEIGHTSTORE_BAD_STORE
            case .lockedMemoryLimit: WEIGHTSTORE_TIER_FULL
            }
        case PolicyError.refused: WEIGHTSTORE_INVALID_ARGUMENT
        case is TierError: WEIGHTSTORE_TIER_FULL
        case DeviceError.unknownName: WEIGHTSTORE_INVALID_ARGUMENT
        case is DeviceError: WEIGHTSTORE_DEVICE
        case let error as FetchError:
            switch error {
            case .notFound, .noOrigin: WEIGHTSTORE_NOT_FOUND
            case .wrongDigest, .wrongLength, .wrongRange, .pageInsteadOfFile, .malformed: WEIGHTSTORE_BAD_ANSWER
            case .unauthorized, .expired: WEIGHTSTORE_NOT_ALLOWED
            default: WEIGHTSTORE_UNREACHABLE
            }
        default: WEIGHTSTORE_FAILED
        }
    }
}
