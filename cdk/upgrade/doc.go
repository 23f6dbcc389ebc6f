// Package upgrade compares the templates of a deployed stage with those of the next
// deployment, in the order in which CloudFormation deploys the stacks, and reports what
// would make the deployment fail or lose data:
//
//   - an export that is removed, or whose value changes, while a deployed stack imports it;
//   - an import that no deployed stack exports;
//   - a resource with stored data, or with an address that clients know, that is removed or
//     replaced by a new one;
//   - a resource that is replaced, or renamed, and whose name is still in use when the new
//     one is created.
//
// Which property replaces its resource is data of AWS, in replacements.json; the test of
// this package writes it (-update) from the CDK's command line, which prints it in cdk diff.
package upgrade
