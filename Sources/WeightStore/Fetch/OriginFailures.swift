import Storage
import Support

/// The failure of one of several origins.
public struct OriginFailure: Sendable, Equatable {
    /// The URL of the origin.
    public let origin: String
    /// The cause.
    public let error: StoreError

    package init(origin: String, error: StoreError) {
        self.origin = origin
        self.error = error
    }

    /// Whether the origin answered that it does not have the bytes, and did not fail otherwise.
    public var isAbsence: Bool {
        switch error {
        case .fetch(.notFound), .fetch(.commitGone), .fetch(.noOrigin): true
        case .originLacks, .storage(.notFound), .storage(.missing): true
        default: false
        }
    }
}

extension OriginFailure: CustomStringConvertible {
    /// The origin and the cause, without secrets of the URL.
    public var description: String {
        let (text, origin) = ("\(error)", origin.withoutURLSecrets)
        // Most errors name their URL.
        return text.hasBytePrefix(origin) ? text : "\(origin): \(text)"
    }
}

/// The failures of origins that are tried one after another until one succeeds.
struct OriginFailures {
    private var failures: [(failure: OriginFailure, error: any Error)] = []

    /// An origin that is tried with several revisions has one failure: the first that is not an absence.
    mutating func add(_ error: any Error, of origin: String) {
        let failure = OriginFailure(origin: origin, error: StoreError(error))
        guard let known = failures.firstIndex(where: { ByteText($0.failure.origin) == ByteText(origin) }) else {
            return failures.append((failure, error))
        }
        if failures[known].failure.isAbsence && !failure.isAbsence { failures[known] = (failure, error) }
    }

    /// The error of the call: that of the only origin, or ``StoreError/originsFailed(_:)``; nil if none was tried.
    var error: (any Error)? {
        failures.count > 1 ? StoreError.originsFailed(failures.map(\.failure)) : failures.first?.error
    }
}
