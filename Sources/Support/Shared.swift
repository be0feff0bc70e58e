/// A reference to a noncopyable value, such as a mutex, that several closures share.
package final class Shared<Value: ~Copyable & Sendable>: Sendable {
    package let value: Value
    package init(_ value: consuming Value) { self.value = value }
}
