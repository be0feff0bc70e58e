import Files
import Glibc
import Storage

extension Store {
    /// Shares the store with the members of a group: they get the rights of its owner, and other users get none.
    ///
    /// The group gets all files and directories of the store. The directories get the set-group-ID bit, so that what is
    /// created in them later belongs to the group, too, whatever the umask of the member who creates it
    /// (<doc:OnDiskFormat>). Repeating the call is harmless.
    ///
    /// - Parameter name: the name of the group, or its number.
    /// - Throws: ``StorageError/notFound(kind:name:detail:)`` for an unknown group; ``FileError`` if the calling user is
    ///   neither root nor the owner of every file and a member of the group.
    public func share(withGroup name: String) throws {
        try requireWritable()
        guard let group = getgrnam(name)?.pointee.gr_gid ?? gid_t(name) else {
            throw StorageError.notFound(kind: "group", name: name)
        }
        try StoreFile.share(path, withGroup: group)
    }
}
