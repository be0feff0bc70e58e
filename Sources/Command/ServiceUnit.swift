/// A unit of systemd that runs the tool: a service that stays, or a job with its timer.
struct ServiceUnit {
    /// The commands that have units.
    enum Name: String, CaseIterable {
        case serve, node, warm, gc, evict, verify

        /// Whether a timer starts the command, which then ends.
        var isJob: Bool { [.gc, .evict, .verify].contains(self) }
    }

    let name: Name
    /// The path of the tool.
    let program: String
    /// The directory of the store.
    let store: String
    let user: String

    private var description: String {
        switch name {
        case .serve: "Serve model weights over HTTP"
        case .node: "Keep model weights at the versions of the fleet"
        case .warm: "Keep the models that are used most in memory"
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
        let escaped = text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("%", with: "%%")
        return "\"\(escaped)\""
    }

    /// The text of the service. The user has no rights but those on the store; the file system is read-only, and the
    /// program makes only the system calls of a service.
    var service: String {
        let needsNetwork = name != .gc
        let type =
            name.isJob
            ? """
            Type=oneshot
            Nice=10
            IOSchedulingClass=idle
            """
            : """
            Type=notify
            ExecReload=/bin/kill -HUP $MAINPID
            Restart=on-failure
            RestartSec=5s
            LimitNOFILE=524288
            """
        // Pages are locked, and a GPU is a device.
        let own =
            name == .warm
            ? """
            LimitMEMLOCK=infinity
            TimeoutStartSec=15min
            """ : "PrivateDevices=yes"
        return """
            [Unit]
            Description=\(description)
            \(needsNetwork ? "Wants=network-online.target\nAfter=local-fs.target network-online.target" : "After=local-fs.target")

            [Service]
            User=\(user)
            Environment=\(Self.quoted("WEIGHTSTORE_HOME=" + store))
            ExecStart=\(Self.quoted(program)) \(arguments)
            \(type)
            \(own)
            UMask=0027
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
            MemoryDenyWriteExecute=\(name == .warm ? "no" : "yes")
            ProtectClock=yes
            ProtectControlGroups=yes
            ProtectHostname=yes
            ProtectKernelLogs=yes
            ProtectKernelModules=yes
            ProtectKernelTunables=yes
            SystemCallArchitectures=native
            SystemCallFilter=@system-service
            SystemCallErrorNumber=EPERM

            """ + (name.isJob ? "" : "\n[Install]\nWantedBy=multi-user.target\n")
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
