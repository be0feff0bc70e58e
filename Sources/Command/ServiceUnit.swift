import Support

/// A unit of systemd that runs the tool: a service that stays, or a job with its timer.
struct ServiceUnit {
    /// The commands that have units.
    enum Name: String, CaseIterable {
        case serve, node, warm, mount, gc, evict, verify

        /// Whether a timer starts the command, which then ends.
        var isJob: Bool { [.gc, .evict, .verify].contains(self) }
        /// Whether the command reads its tokens and certificate again on SIGHUP, which ends others.
        var reloads: Bool { [.serve, .node].contains(self) }
    }

    /// Where systemd searches for units of the machine and of packages.
    static let directories = ["/etc", "/usr/local/lib", "/usr/lib", "/lib"].map { $0 + "/systemd/system" }

    let name: Name
    /// The path of the tool.
    let program: String
    /// The directory of the store.
    let store: String
    let user: String
    /// The directory on which ``Name/mount`` mounts the store.
    let directory: String

    private var description: String {
        switch name {
        case .serve: "Serve model weights over HTTP"
        case .node: "Keep model weights at the versions of the fleet"
        case .warm: "Keep the models that are used most in memory"
        case .mount: "Show model weights as files"
        case .gc: "Remove model weights that nothing references"
        case .evict: "Keep the store of model weights below its quota"
        case .verify: "Verify model weights on the disk"
        }
    }

    private var arguments: String {
        switch name {
        case .serve: "serve"
        case .node: "node"
        case .warm: "warm --hold --lock --every 15m"
        case .mount: "mount --allow-other \(Self.quoted(directory))"
        case .gc: "gc"
        case .evict: "evict"
        case .verify: "verify --older-than 30d --rate 100M --quiet"
        }
    }

    private var calendar: String {
        switch name {
        case .evict: "*:0/10"
        case .verify: "Sun 03:40"
        default: "hourly"
        }
    }

    /// A word of a unit file.
    static func quoted(_ text: String) -> String {
        let escaped = text.replacing(scalars: { scalar in
            switch scalar {
            case "\\": "\\\\"
            case "\"": "\\\""
            case "%": "%%"
            default: nil
            }
        })
        return "\"\(escaped)\""
    }

    /// The text of the service.
    var service: String {
        [
            """
            [Unit]
            Description=\(description)
            \(needsNetwork ? "Wants=network-online.target\nAfter=local-fs.target network-online.target" : "After=local-fs.target")

            [Service]
            User=\(user)
            Environment=\(Self.quoted("WEIGHTSTORE_HOME=" + store))
            ExecStart=\(Self.quoted(program)) \(arguments)
            UMask=0027
            """,
            name.isJob ? job : daemon,
            name == .mount ? mountpoint : sandbox,
            name.isJob ? "" : "\n[Install]\nWantedBy=multi-user.target\n",
        ].joined(separator: "\n")
    }

    private var needsNetwork: Bool { name != .gc }

    private var job: String {
        """
        Type=oneshot
        Nice=10
        IOSchedulingClass=idle
        """
    }

    /// A service that stays. Wrong usage and invalid settings stay wrong, so they cause no restart.
    private var daemon: String {
        """
        Type=notify
        \(name.reloads ? "ExecReload=/bin/kill -HUP $MAINPID\n" : "")Restart=on-failure
        RestartSec=5s
        RestartPreventExitStatus=6 64
        LimitNOFILE=524288
        """
    }

    /// The user has no rights but those on the store; the file system is read-only, and the program makes only the
    /// system calls of a service.
    private var sandbox: String {
        // Pages are locked, and a GPU is a device.
        let memory =
            name == .warm
            ? """
            LimitMEMLOCK=infinity
            TimeoutStartSec=15min
            """
            : """
            PrivateDevices=yes
            MemoryDenyWriteExecute=yes
            """
        return """
            \(memory)
            ReadWritePaths=\(Self.quoted(store))
            ProtectSystem=strict
            ProtectHome=read-only
            PrivateTmp=yes
            NoNewPrivileges=yes
            CapabilityBoundingSet=
            RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
            RestrictNamespaces=yes
            RestrictRealtime=yes
            LockPersonality=yes
            ProtectClock=yes
            ProtectControlGroups=yes
            ProtectHostname=yes
            ProtectKernelLogs=yes
            ProtectKernelModules=yes
            ProtectKernelTunables=yes
            SystemCallArchitectures=native
            SystemCallFilter=@system-service
            SystemCallErrorNumber=EPERM
            """
    }

    /// A service with a mount namespace of its own (ProtectSystem, PrivateTmp and others) would mount the store where
    /// other processes do not see it. The program fusermount3 has the rights of root to mount; options that imply
    /// NoNewPrivileges, such as filters of system calls, would deprive it of them.
    private var mountpoint: String {
        // Root reads and writes files of the store's owner.
        let capabilities = user == "root" ? "CAP_SYS_ADMIN CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER" : "CAP_SYS_ADMIN"
        return """
            # A process that was killed leaves a mount point that does not answer; the program replaces it.
            ExecStartPre=-+/usr/bin/install -d -m 0755 -o \(user) \(Self.quoted(directory))
            DevicePolicy=closed
            DeviceAllow=/dev/fuse rw
            CapabilityBoundingSet=\(capabilities)
            KeyringMode=private
            """
    }

    /// The text of the timer of a job.
    var timer: String {
        """
        [Unit]
        Description=\(description), at intervals

        [Timer]
        OnCalendar=\(calendar)
        RandomizedDelaySec=\(name == .evict ? "30s" : "5min")
        Persistent=yes

        [Install]
        WantedBy=timers.target

        """
    }
}
