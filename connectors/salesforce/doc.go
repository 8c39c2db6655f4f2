// Package salesforce keeps step with a Salesforce org over its REST API: records by collections of up to 200, look-ups
// by SOQL inside one composite request, changes by SystemModstamp, and webhooks in the shapes of Change Data Capture.
// The facts it rests on are in the Salesforce REST API Developer Guide, v62.
package salesforce
