import Support

extension WorkerThreads {
    /// Threads that serve a device.
    ///
    /// - Throws: ``DeviceError/system(operation:code:)`` if the system cannot create the threads.
    static func forDevice(_ count: Int) throws(DeviceError) -> WorkerThreads {
        do {
            return try WorkerThreads(count: count)
        } catch {
            switch error {
            case .noThread(let code): throw .system(operation: "pthread_create", code: code)
            }
        }
    }
}
