/// A file whose path means something in this process only.
package protocol ProcessFile: AnyObject, Sendable {
    /// Its path in this process.
    var path: String { get }

    /// Throws if bytes that were read from it until now may not be those that were written.
    func requireTrueReads() throws(FileError)
}

extension MemoryFile: ProcessFile {
    package func requireTrueReads() {}
}
