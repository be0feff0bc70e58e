import ArgumentParser
import WeightStore

/// The record of the jobs that keep a store in order, which `weightstore status` shows.
enum JobLog {
    /// Runs a job, and records how it ended.
    ///
    /// - Parameters:
    ///   - isDryRun: whether nothing is recorded.
    ///   - body: returns whether the job has run: not if another process runs it.
    static func run(_ name: String, in store: Store, isDryRun: Bool = false, _ body: () throws -> Bool) throws {
        if isDryRun {
            _ = try body()
            return
        }
        let (started, start) = (StoreClock.now, ContinuousClock.now)
        func record(_ status: Int32, _ message: String) {
            let job = JobRecord(
                name: name, started: started, seconds: (ContinuousClock.now - start) / .seconds(1), status: Int(status),
                message: message)
            // The job has its own result: a store that is full or read-only cannot have the record.
            try? store.record(job)
        }
        do {
            if try body() { record(0, "") }
        } catch let error as ExitCode {
            record(error.rawValue, "")
            throw error
        } catch {
            record((ExitStatus(error) ?? .failed).rawValue, "\(error)")
            throw error
        }
    }
}
