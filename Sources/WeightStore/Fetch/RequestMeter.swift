import Storage
import Support

/// Measures one request to an origin.
struct RequestMeter {
    private let start = ContinuousClock.now
    private var bytes = 0
    /// Seconds until the first byte; nil if none has arrived, or its time is not known.
    private var firstByte: Double?

    private var seconds: Double { (ContinuousClock.now - start) / .seconds(1) }

    /// Counts a run of bytes that has arrived now.
    mutating func add(run: Int) {
        if firstByte == nil { firstByte = seconds }
        bytes.add(saturating: run)
    }

    /// Counts bytes of which only the end of their arrival is known.
    mutating func add(bytes: Int) { self.bytes.add(saturating: bytes) }

    /// The request as activity.
    func values(origin url: String) -> [ActivityValue] {
        let source = SourceKind(origin: url).rawValue
        var times = TimeHistogram()
        if let firstByte { times.add(firstByte) }
        return [
            ActivityValue(ActivityKey(.reads, source), 1),
            ActivityValue(ActivityKey(.readBytes, source), Double(bytes)),
            ActivityValue(ActivityKey(.readSeconds, source), seconds),
        ] + times.values(of: .firstBytes, in: source)
    }
}

extension FailureReason {
    /// The reason of an error of an origin; nil if the request was cancelled.
    init?(_ error: any Error) {
        switch StoreError(error) {
        case .cancelled: return nil
        case .fetch(let error):
            switch error {
            case .stalled, .disconnected, .untrusted: self = .unreachable
            case .unauthorized, .refused, .expired, .badCredentials: self = .refused
            case .notFound, .commitGone, .noOrigin: self = .absent
            case .wrongDigest, .wrongLength, .wrongRange, .malformed, .pageInsteadOfFile: self = .wrongBytes
            default: self = .other
            }
        case .originDiffers: self = .wrongBytes
        case .originLacks, .storage(.notFound), .storage(.missing): self = .absent
        case .quotaFull, .file(.diskFull): self = .noRoom
        default: self = .other
        }
    }
}
