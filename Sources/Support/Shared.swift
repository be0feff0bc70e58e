/// A value that cannot be copied, such as a mutex, for several closures to share.
package final class Shared<Value: ~Copyable & Sendable>: Sendable {
    package let value: Value
    package init(_ value: consuming Value) { self.value = value }
}
