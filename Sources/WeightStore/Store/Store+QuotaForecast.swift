import Foundation
import Policies
import Storage
import Support

extension Store {
    /// Replays the recorded accesses at the store's quota and at other sizes, with its policy and with others: how many
    /// reads miss, and how many more or less disk would let miss.
    ///
    /// The replay takes seconds per million accesses, policy and size, on all processors.
    ///
    /// - Parameters:
    ///   - request: the policies and sizes.
    ///   - work: progress in replayed accesses, and cancellation.
    /// - Throws: ``StorageError/notFound(kind:name:detail:)`` if nothing was recorded (``setRecordsAccesses(_:)``) or
    ///   the store's policy does not exist; ``PolicyError/refused(policy:line:message:)``; `CancellationError`.
    public func quotaForecast(
        _ request: QuotaForecastRequest = QuotaForecastRequest(), work: Work = Work()
    ) async throws -> QuotaForecast {
        try await work.run { [self] in try quotaForecastBlocking(request, work: work) }
    }

    /// As ``quotaForecast(_:work:)``, but blocks the calling thread.
    public func quotaForecastBlocking(
        _ request: QuotaForecastRequest = QuotaForecastRequest(), work: Work = Work()
    ) throws -> QuotaForecast {
        let quota = try quota
        let trace = try recordedAccesses(last: request.mostAccesses)
        guard let first = trace.times.first, let last = trace.times.last else {
            throw StorageError.notFound(kind: "record of accesses", name: path)
        }
        var policies = [try policy(quota.policy)]
        policies += request.policies.filter { $0 != policies[0] }
        let step = quota.bytes.flatMap(QuotaForecast.step)
        let curve = try MissRatioCurve.simulateBlocking(
            trace, policies: policies,
            quotas: QuotaForecast.sizes(request, quota: quota.bytes, step: step, footprint: trace.footprint),
            high: request.low == nil ? quota.high : 1, low: request.low ?? quota.low, work: work)
        return QuotaForecast(curve, quota, step: step, recordedSeconds: last - first)
    }
}
