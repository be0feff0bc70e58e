import CWeightStoreHeader
import Glibc
import Origins
import WeightStore

/// The last failure on a thread, in C's form.
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
        // This fails only if the process has used all 1024 keys, and there is no way to continue without one.
        precondition(
            pthread_key_create(&key) { Unmanaged<Failure>.fromOpaque($0!).release() } == 0, "pthread_key_create")
        return key
    }()

    static var last: Failure? {
        pthread_getspecific(key).map { Unmanaged<Failure>.fromOpaque($0).takeUnretainedValue() }
    }

    /// Stores a failure in place of the previous one.
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
        return Failure.keep(CurrentWork.reason(for: error))
    }
}

extension weightstore_status {
    init(_ error: any Error) {
        self =
            switch error {
            case let error as CallError:
                switch error {
                case .argument: WEIGHTSTORE_INVALID_ARGUMENT
                case .handle: WEIGHTSTORE_INVALID_HANDLE
                case .forked: WEIGHTSTORE_FORKED
                case .unsupported: WEIGHTSTORE_UNSUPPORTED
                case .cancelled: WEIGHTSTORE_CANCELLED
                case .timedOut: WEIGHTSTORE_TIMED_OUT
                }
            default: weightstore_status(StoreError(error))
            }
    }

    private init(_ error: StoreError) {
        self =
            switch error {
            case .quotaFull, .file(.diskFull): WEIGHTSTORE_DISK_FULL
            case .pinned, .inUse, .originNeeded, .neededElsewhere, .storage(.busy): WEIGHTSTORE_BUSY
            case .originsFailed: weightstore_status(error.cause)
            case .originFailed, .originUnchecked: WEIGHTSTORE_UNREACHABLE
            case .originDiffers, .originLacks: WEIGHTSTORE_BAD_ANSWER
            case .storage(.notFound), .storage(.ambiguous), .storage(.removed): WEIGHTSTORE_NOT_FOUND
            case .storage(.invalid), .file(.tooLarge), .policy(.refused), .device(.unknownName),
                .tier(.closed):
                WEIGHTSTORE_INVALID_ARGUMENT
            case .storage(.damaged), .storage(.missing), .storage(.tooManyMissing): WEIGHTSTORE_DAMAGED
            case .storage(.notAStore), .storage(.newerSchema), .storage(.olderProcesses), .storage(.catalogDamaged),
                .storage(.catalogOlder), .storage(.foreignBlobs), .file(.networkFileSystem), .file(.notRegular):
                WEIGHTSTORE_BAD_STORE
            case .tier, .device(.outOfMemory), .file(.lockedMemoryLimit), .file(.mappingLimit): WEIGHTSTORE_TIER_FULL
            case .file(.system), .file(.openFileLimit): WEIGHTSTORE_SYSTEM
            case .device: WEIGHTSTORE_DEVICE
            case .fetch(let error):
                switch error {
                case .notFound, .noOrigin, .commitGone: WEIGHTSTORE_NOT_FOUND
                case .wrongDigest, .wrongLength, .wrongRange, .pageInsteadOfFile, .malformed: WEIGHTSTORE_BAD_ANSWER
                case .unauthorized, .expired, .badCredentials: WEIGHTSTORE_NOT_ALLOWED
                case .unusable: WEIGHTSTORE_INVALID_ARGUMENT
                default: WEIGHTSTORE_UNREACHABLE
                }
            case .sourceChanged, .blobDiffers, .incomplete, .moveInterrupted, .moveIntoAnother, .support, .format,
                .policy, .storage(.catalogFailed), .storage(.readOnly), .other:
                WEIGHTSTORE_FAILED
            case .cancelled: WEIGHTSTORE_CANCELLED
            }
    }
}
