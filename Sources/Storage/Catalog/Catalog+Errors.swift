import Files
import GRDB
import Glibc

extension Catalog {
    /// Translates SQLite's result codes to the errors that callers distinguish.
    static func translating<Result>(_ path: String, _ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch let error as DatabaseError {
            switch error.resultCode {
            case .SQLITE_IOERR, .SQLITE_CANTOPEN:
                // On a full disk SQLite cannot create its log or its shared memory, and reports only these codes.
                let free = try FileSystem.freeBytes(FileSystem.parent(of: path))
                let lacksInodes = FileSystem.lacksInodes(path)
                if error.extendedResultCode == .SQLITE_IOERR_SHMSIZE || free < Self.leastFreeBytes || lacksInodes {
                    throw FileError.diskFull(path: path, lacksInodes: lacksInodes)
                }
                // Its error names the cause, such as a missing permission or too many open files.
                if error.resultCode == .SQLITE_CANTOPEN { _ = try FileDescriptor(path, O_RDONLY) }
                throw failed(error, path)
            case .SQLITE_CORRUPT, .SQLITE_NOTADB:
                // SQLite reports a sector that cannot be read as a malformed database.
                for suffix in ["", "-wal"] { try FileSystem.requireReadable(path + suffix) }
                throw StorageError.catalogDamaged(path: path, message: error.message ?? error.description)
            case .SQLITE_FULL:
                throw FileError.diskFull(path: path)
            default:
                throw failed(error, path)
            }
        } catch let error as RowDecodingError {
            // Of a query for single values. The following values are the whole row, and the query.
            let text = "\(error)"
            let end = text.firstRange(of: ", column index:")?.lowerBound ?? text.endIndex
            throw StorageError.catalogDamaged(path: path, message: String(text[..<end].prefix(200)))
        }
    }

    private static func failed(_ error: DatabaseError, _ path: String) -> StorageError {
        .catalogFailed(
            path: path, code: Int(error.extendedResultCode.rawValue), message: error.message ?? error.description)
    }
}
