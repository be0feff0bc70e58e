/// The control groups of this process (cgroups(7)). Containers, systemd units and batch systems limit memory and
/// processor time with them.
///
/// Version 1 has a hierarchy of groups for each controller, and version 2 one for all; a machine may have both. The
/// limits of a group hold for all groups below it, so those of its ancestors count, too. In a container, only the groups
/// below the one that is mounted are visible.
struct ControlGroups {
    enum Version { case one, two }

    struct Group {
        let version: Version
        /// The directory with its limits.
        let path: String
    }

    /// The directory that has `/proc` and `/sys`: empty, or another one in tests.
    let root: String

    /// The group of this process for a controller (`memory`, `cpu`), and its visible ancestors. A directory may lack the
    /// files of the controller.
    func groups(_ controller: String) -> [Group] {
        let table = MountTable(below: root)
        return KernelFile.lines("\(root)/proc/self/cgroup").flatMap { line -> [Group] in
            // hierarchy:controllers:path; version 2 has the hierarchy 0 and names no controllers.
            let fields = line.byteParts(":", maxSplits: 2)
            guard fields.count == 3 else { return [] }
            let version: Version
            if fields[0] == "0", fields[1].isEmpty {
                version = .two
            } else if fields[1].byteParts(",").contains(controller) {
                version = .one
            } else {
                return []
            }
            let mounts = table.mounts.filter { mount in
                switch version {
                case .one: mount.type == "cgroup" && mount.options.contains(controller)
                case .two: mount.type == "cgroup2"
                }
            }
            return directories(of: fields[2], in: mounts).map { Group(version: version, path: $0) }
        }
    }

    /// The directories of a group and of its ancestors, up to the place where the hierarchy is mounted.
    private func directories(of group: String, in mounts: [MountTable.Mount]) -> [String] {
        for mount in mounts {
            guard var parts = Self.parts(of: group, below: mount.root) else { continue }
            var result: [String] = []
            while true {
                result.append(root + mount.point + parts.map { "/" + $0 }.joined())
                if parts.isEmpty { return result }
                parts.removeLast()
            }
        }
        // The group is outside of what is mounted, as in a container without a namespace for groups: the mounted one is
        // the group, or one above it.
        return mounts.prefix(1).map { root + $0.point }
    }

    /// The names of the groups from the mounted one down to `group`; nil if it is not below.
    private static func parts(of group: String, below mounted: String) -> [String]? {
        let rest = mounted == "/" ? group : group.dropping(bytePrefix: mounted)
        guard let rest, rest.isEmpty || rest.hasBytePrefix("/") else { return nil }
        let parts = rest.byteParts("/").filter { !$0.isEmpty }
        return parts.contains("..") ? nil : parts
    }
}
